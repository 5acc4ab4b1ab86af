"""The typed shape of null models and claims."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from attention_wavelets.config.base import Count, Name, Repository, Seed, Strict, no_repeats

__all__ = [
    "SHARED_NULLS",
    "SIGNAL_NULLS",
    "Claim",
    "ClaimName",
    "ClaimTest",
    "Column",
    "Null",
    "Subjects",
    "edge",
    "null_family",
]

ClaimName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{0,9}$")]
# A measure, or a measure under a condition: `scale_sensitivity@half`.
ColumnName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(@[a-z0-9][a-z0-9._-]*)?$")]
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]

SIGNAL_NULLS = (
    "iid",
    "permuted",
    "uniform_causal",
    "exponential",
    "power_law",
    "sink_random",
    "iaaft",
    "head_sets",
)
"""Kinds of nulls that are made of measured signals; the others are models and conditions."""


SHARED_NULLS = ("untrained", "head_sets")
"""Kinds of nulls of which one draw is the same for all sequences."""

_FAMILIES = {
    "iid": "order",
    "sink_random": "sink",
    "exponential": "kernel",
    "power_law": "kernel",
}


def null_family(kind: str, sink: str = "") -> str:
    """What a null keeps: two that keep the same are one piece of evidence, not two."""
    if kind == "permuted":
        return "sink" if sink == "keep" else "order"
    return _FAMILIES.get(kind, kind)


class PlainNull(Strict):
    """Signals made of each measured one; the kind says what is kept."""

    kind: Literal["iid", "uniform_causal", "sink_random", "head_sets"]
    says: Annotated[str, Field(min_length=1)]
    seed: Seed = 0


class PermutedNull(Strict):
    """The same numbers at other positions."""

    kind: Literal["permuted"]
    says: Annotated[str, Field(min_length=1)]
    sink: Literal["keep", "free"]
    seed: Seed = 0


class KernelNull(Strict):
    """A smooth kernel that shares one number with the signal."""

    kind: Literal["exponential", "power_law"]
    says: Annotated[str, Field(min_length=1)]
    match: Literal["mean_lag", "participation_ratio"]


class IaaftNull(Strict):
    """The same numbers and nearly the same spectrum, at other positions."""

    kind: Literal["iaaft"]
    says: Annotated[str, Field(min_length=1)]
    iterations: Count = 100
    cutoff: Annotated[float, Field(gt=0, lt=1)] = 0.05
    seed: Seed = 0


class TwinNull(Strict):
    """The untrained twins of the model that the study has."""

    kind: Literal["untrained"]
    says: Annotated[str, Field(min_length=1)]


class ConditionNull(Strict):
    """The same model on other input."""

    kind: Literal["condition"]
    says: Annotated[str, Field(min_length=1)]
    condition: Name


Null = Annotated[
    PlainNull | PermutedNull | KernelNull | IaaftNull | TwinNull | ConditionNull,
    Field(discriminator="kind"),
]


class Column(Strict):
    """A measure under a condition."""

    measure: str
    condition: str

    @classmethod
    def read(cls, name: str, condition: str) -> Column:
        """`scale_sensitivity@half`, or a measure alone, under the claim's own condition."""
        measure, _, other = name.partition("@")
        return cls(measure=measure, condition=other or condition)


TestKind = Literal[
    "sign",
    "difference",
    "ratio",
    "slope",
    "rank_trend",
    "ordering",
    "equivalence",
    "share_in_range",
    "change_point",
    "curve_choice",
    "regression",
    "variance_share",
    "spread",
    "two_groups",
    "distance_to_null",
    "kernel_collapse",
]

# How many columns a kind takes, at least and at most, and which settings are its own.
_SHAPES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "sign": (1, 1, ()),
    "difference": (2, 9, ()),
    "ratio": (2, 2, ()),
    "slope": (1, 12, ("over", "at")),
    "rank_trend": (1, 12, ("over", "at", "method")),
    "ordering": (2, 9, ()),
    "equivalence": (1, 1, ()),
    "share_in_range": (1, 9, ("ranges",)),
    "change_point": (1, 12, ("over", "at", "direction", "between")),
    "curve_choice": (1, 12, ("over", "at", "curve")),
    "regression": (2, 6, ("partial", "effect")),
    "variance_share": (2, 30, ()),
    "spread": (1, 1, ("over",)),
    "two_groups": (1, 1, ()),
    "distance_to_null": (1, 1, ("against",)),
    "kernel_collapse": (2, 2, ("least_diversity",)),
}


# What the points of a kind can be.
_TREND_OVER = ("depth", "columns", "parameters", "step")
_OVER: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("slope", "rank_trend", "change_point"), _TREND_OVER),
    # Laws of growth are those of something above 0, which relative depth is not.
    "curve_choice": _TREND_OVER[1:],
    "spread": ("depth", "heads"),
}

# Kinds whose number is a trend through points, and kinds that tell heads from each other.
_TRENDS = ("slope", "rank_trend", "change_point", "curve_choice")
_ACROSS_HEADS = ("regression", "variance_share", "two_groups")

# With fewer points no order is rare: 3! = 6.
MIN_POINTS = 4

# Between which numbers the number of a kind lies, whatever it reads.
_REACH = {
    **dict.fromkeys(("ordering", "share_in_range", "variance_share"), (0.0, 1.0)),
    **dict.fromkeys(("rank_trend", "regression"), (-1.0, 1.0)),
    "kernel_collapse": (0.0, 1.0),
}

# Kinds whose number is a mean over heads, to which an interval over heads applies.
_OF_MEANS = ("sign", "equivalence", "distance_to_null")


class ClaimTest(Strict):
    """How a claim becomes one number, and which numbers would bear it out.

    `claimed` says on which side of `bound` the number lies if the claim is true (`above`,
    `below`), by at least `smallest_effect`; `within` a `range` needs no bound.
    """

    kind: TestKind
    of: Annotated[list[ColumnName], Field(min_length=1), AfterValidator(no_repeats)]
    claimed: Literal["above", "below", "within"]
    bound: float = 0.0
    range: Bounds | None = None
    smallest_effect: Annotated[float, Field(ge=0)]
    over: Literal["depth", "columns", "heads", "parameters", "step"] = "depth"
    method: Literal["spearman", "kendall"] = "spearman"
    ranges: list[Bounds] = []
    at: list[float] = []
    curve: Literal["power", "logarithmic", "saturating"] | None = None
    # Of a step: which way it goes, and between which steps of training or parameters it lies.
    direction: Literal["up", "down"] | None = None
    between: Bounds | None = None
    partial: bool = False
    # Of a regression: the sign of the coefficient of the second column.
    effect: Literal["positive", "negative"] | None = None
    against: Name | None = None
    least_diversity: float | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> ClaimTest:
        least, most, own = _SHAPES[self.kind]
        if not least <= len(self.of) <= most:
            number = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"kind '{self.kind}' takes {number} columns, got {len(self.of)}")
        settings = {name for _, _, names in _SHAPES.values() for name in names}
        # By value: a slice names every setting, those of other kinds as they stand when not used.
        fields = type(self).model_fields
        given = {name for name in settings if getattr(self, name) != fields[name].default}
        foreign = sorted(given - set(own))
        if foreign:
            raise ValueError(f"kind '{self.kind}' has no setting '{foreign[0]}'")
        if "ranges" in own and len(self.ranges) != len(self.of):
            raise ValueError("`ranges` needs one entry for each column of `of`")
        if "at" in own:
            places = len(self.of) if self.over == "columns" else 0
            if len(self.at) != places or (not places and len(self.of) != 1):
                raise ValueError(
                    "with over 'columns' each column needs its place in `at`; otherwise there is "
                    "one column and no `at`"
                )
        for name in {"curve", "against", "least_diversity"} & set(own):
            if getattr(self, name) is None:
                raise ValueError(f"kind '{self.kind}' needs the setting '{name}'")
        if self.kind == "curve_choice" and min(self.at, default=1.0) <= 0:
            raise ValueError("places of a curve must be above 0")
        if self.over not in _OVER.get(self.kind, ("depth",)):
            raise ValueError(
                f"kind '{self.kind}' is over {' or '.join(_OVER.get(self.kind, ('depth',)))}, "
                f"not '{self.over}'"
            )
        if (self.claimed == "within") != (self.range is not None):
            raise ValueError("`range` is needed with claimed 'within', and only there")
        few = self.over == "columns" and len(self.of) < MIN_POINTS
        if self.is_trend and few and self.claimed != "within":
            raise ValueError(
                f"a trend needs {MIN_POINTS} points, got {len(self.of)} columns: of fewer every "
                "order is likely"
            )
        if self.between is not None and (
            self.over not in ("parameters", "step") or self.between[0] < 0
        ):
            raise ValueError("`between` is for steps over 'parameters' or 'step', from 0 on")
        for low, high in [*self.ranges, *(b for b in (self.range, self.between) if b)]:
            if low >= high:
                raise ValueError(f"a range must increase, got [{low}, {high}]")
        return self

    @property
    def is_trend(self) -> bool:
        """Whether the number is about the order of points: layers, columns or models."""
        return self.kind in _TRENDS or (self.kind == "spread" and self.over == "depth")

    @property
    def along_depth(self) -> bool:
        """Whether the number compares layers."""
        return self.kind in _OVER and self.over == "depth"

    @property
    def across_heads(self) -> bool:
        """Whether the number is about how heads differ."""
        return self.kind in _ACROSS_HEADS or self.over == "heads"

    def reach(self, measure: tuple[float, float]) -> tuple[float, float]:
        """What the number can be, (lowest, highest), given the range of the measure it reads."""
        if self.kind in ("sign", "equivalence"):
            return measure
        return _REACH.get(self.kind, (-math.inf, math.inf))

    def own_settings(self) -> dict[str, Any]:
        """The settings that only this kind has."""
        return {name: getattr(self, name) for name in _SHAPES[self.kind][2]}


def edge(test: ClaimTest, bound: float) -> float:
    """The line that an interval must clear: the bound plus or minus the smallest effect.

    Of a claimed range it is the line of differences to nulls, which count how much nearer to the
    middle of the range the number is.
    """
    sign = -1.0 if test.claimed == "below" else 1.0
    return bound + sign * test.smallest_effect


class Subjects(Strict):
    """Of which trained models a claim speaks, and how many of them must bear it out."""

    position_encoding: list[
        Literal[
            "rotary",
            "learned_absolute",
            "sinusoidal_absolute",
            "alibi",
            "relative_bias",
            "none",
        ]
    ] = []
    causal: bool | None = None
    at_least: Count = 1
    needs: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(no_repeats)] = []
    # Over steps of training: repositories, each judged by at least so many of its checkpoints.
    checkpoints_of: Annotated[list[Repository], AfterValidator(no_repeats)] = []


class Claim(Strict):
    """A statement with the test that decides it."""

    statement: Annotated[str, Field(min_length=10)]
    source: Annotated[str, Field(min_length=3)]
    test: ClaimTest
    protocol: Name
    probe: Name
    condition: Name = "full"
    models: Subjects = Subjects()
    generality: Literal["text", "heads"] = "text"
    controls: Annotated[list[Name], AfterValidator(no_repeats)] = []
    # Other explanations: to be beaten like controls, but what they pass makes nothing vacuous.
    rivals: Annotated[list[Name], AfterValidator(no_repeats)] = []
    reference: str = ""
    remark: str = ""

    @model_validator(mode="after")
    def _heads_of_means(self) -> Claim:
        if self.generality == "heads" and self.test.kind not in _OF_MEANS:
            raise ValueError(
                f"generality 'heads' is possible for {', '.join(_OF_MEANS)}, not '{self.test.kind}'"
            )
        return self

    @model_validator(mode="after")
    def _names_what_is_compared(self) -> Claim:
        key = {"parameters": "needs", "step": "checkpoints_of"}.get(self.test.over)
        if key and not getattr(self.models, key):
            raise ValueError(f"over '{self.test.over}' compares models: name them in models.{key}")
        asked = self.models.at_least if key == "checkpoints_of" else len(self.models.needs)
        if key and asked < MIN_POINTS:
            raise ValueError(
                f"a trend over '{self.test.over}' needs {MIN_POINTS} models, {asked} are asked for"
            )
        if self.models.checkpoints_of and key != "checkpoints_of":
            raise ValueError("models.checkpoints_of is for tests over 'step'")
        return self

    @property
    def together(self) -> bool:
        """Whether one number comes from several models."""
        return self.test.over in ("parameters", "step")

    def nulls(self) -> list[str]:
        """Every null it is compared with, each once."""
        own = [self.test.against] if self.test.against else []
        return list(dict.fromkeys([*own, *self.controls, *self.rivals]))

    def columns(self) -> list[Column]:
        """The measures it reads, in order."""
        return [Column.read(name, self.condition) for name in self.test.of]
