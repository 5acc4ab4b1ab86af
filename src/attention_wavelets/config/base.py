"""What the classes of all config groups share."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Count",
    "Fraction",
    "Name",
    "Repository",
    "Revision",
    "Seed",
    "Sha256",
    "Strict",
    "no_repeats",
]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")]
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]*(/[\w.+-]+)*$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Item = TypeVar("Item")


def no_repeats(values: list[Item]) -> list[Item]:
    if len(set(values)) < len(values):
        raise ValueError(f"a value stands twice in {values}")
    return values


class Strict(BaseModel):
    """Base of every group: unknown keys are errors, values are immutable."""

    # Infinity and NaN have no place in JSON, and so none in a slice.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
