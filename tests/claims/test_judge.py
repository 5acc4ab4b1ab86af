"""Both verdicts on planted models: what passes, and what stops it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from attention_wavelets.claims.judge import VACUOUS_SHARE, Judged, NullDraws, Rules, judge
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.inference.heads import COVERAGE, METHOD, head_interval
from attention_wavelets.inference.intervals import clustered_t
from helpers.claims import claim, draws, noisy, panel, subject

RULES = Rules(resamples=200)
ABOVE = claim(bound=0.3, smallest_effect=0.1, controls=["iid", "permuted"])
FAR = draws("iid", noisy(0.1, 1), noisy(0.1, 2))


def judged(case: Any, observed: Any, *nulls: NullDraws, rules: Rules = RULES) -> Judged:
    observed = observed if isinstance(observed, Subject) else subject(observed)
    return judge(case, observed, nulls, rules)


def test_a_claim_passes_where_it_holds_and_no_null_comes_near():
    found = judged(ABOVE, noisy(0.6), FAR, draws("permuted", noisy(0.2, 3)))
    assert (found.literal, found.controlled) == ("pass", "pass")
    assert [null.verdict for null in found.nulls] == ["pass", "pass"]
    assert [null.draws for null in found.nulls] == [2, 1]
    assert found.nulls[0].value == pytest.approx(0.1, abs=0.01)
    assert found.nulls[0].difference.value == pytest.approx(0.5, abs=0.02)
    assert found.nulls[0].passing == 0.0
    assert found.reason.startswith("0.598 [0.591, 0.605] ")
    assert "is wholly above 0.4 (0.3 and the smallest effect 0.1), as claimed." in found.reason
    assert found.reason.endswith(
        "The difference to every null clears the smallest effect (iid, permuted)."
    )
    assert "with the lower end not above 0.4 it would not pass" in found.would_change


def test_a_null_that_comes_near_stops_the_claim_and_is_named_with_the_number_it_lacks():
    found = judged(ABOVE, noisy(0.6), FAR, draws("permuted", noisy(0.55, 3)))
    assert (found.literal, found.controlled) == ("pass", "fail")
    assert "Null permuted has 0.5" in found.reason
    assert "does not clear the smallest effect; wholly above 0.1 it would." in found.reason
    assert "iid" not in found.reason


def test_on_the_claimed_side_but_small_is_said_as_such():
    found = judged(claim(bound=0.3, smallest_effect=0.5), noisy(0.6))
    assert found.literal == "fail"
    assert "is above 0.3 as claimed, but by less than the smallest effect 0.5." in found.reason
    found = judged(claim(bound=0.3, smallest_effect=0.5), noisy(0.1))
    assert "is wholly below 0.8 (0.3 and the smallest effect 0.5); claimed is above." in (
        found.reason
    )


def test_what_would_change_a_controlled_verdict_names_null_and_number():
    near, far = draws("permuted", noisy(0.45, 3)), FAR
    passed = judged(ABOVE, noisy(0.6), far, near).would_change
    assert "controlled: the nearest null is permuted with a difference of 0.14" in passed
    assert passed.endswith("; not wholly above 0.1 it would not pass")
    failed = judged(ABOVE, noisy(0.6), far, draws("permuted", noisy(0.55, 3))).would_change
    assert failed.endswith(
        "controlled: with the differences to permuted wholly above 0.1 it would pass"
    )
    # Where the literal verdict stands in the way, it would have to change first.
    assert "controlled" not in judged(ABOVE, noisy(0.1), far, near).would_change


def test_a_difference_around_the_smallest_effect_leaves_it_open():
    wide = noisy(0.5, 3, noise=0.8)
    found = judged(ABOVE, noisy(0.6), FAR, draws("permuted", wide))
    low, high = found.nulls[1].difference.low, found.nulls[1].difference.high
    assert low < 0.1 < high
    assert (found.literal, found.controlled) == ("pass", "unclear")


@pytest.mark.parametrize(("level", "verdict"), [(0.2, "fail"), (0.4, "unclear")])
def test_without_a_literal_pass_nulls_change_nothing(level: float, verdict: str):
    found = judged(ABOVE, noisy(level, noise=0.2), FAR, draws("permuted", noisy(-5.0, 3)))
    assert (found.literal, found.controlled) == (verdict, verdict)


def test_below_is_above_turned_round():
    below = claim(claimed="below", bound=-0.3, smallest_effect=0.1, controls=["iid", "permuted"])
    for level in (0.2, 0.4, 0.55, 0.7):
        values, near = noisy(0.6), noisy(level, 3)
        one = judged(ABOVE, values, FAR, draws("permuted", near))
        far = draws("iid", *(-draw.first.values for draw in FAR.draws))
        other = judged(below, -values, far, draws("permuted", -near))
        assert (one.literal, one.controlled) == (other.literal, other.controlled)
        assert [n.verdict for n in one.nulls] == [n.verdict for n in other.nulls]
        assert one.estimate.low == pytest.approx(-other.estimate.high)


def test_a_test_that_two_kinds_of_null_pass_is_vacuous():
    found = judged(ABOVE, noisy(0.6), draws("iid", noisy(0.5, 1)), draws("permuted", noisy(0.9, 2)))
    assert (found.literal, found.controlled) == ("pass", "vacuous")
    assert found.reason.endswith(
        "The same test passes without the structure: iid on 1 of 1 draws, permuted on 1 of 1 draws."
    )
    assert "controlled: were the same test passed on less than 90% of the draws" in (
        found.would_change
    )


def test_two_nulls_of_one_kind_make_no_test_vacuous():
    nulls = [draws(name, noisy(0.59, 1), kind="permuted") for name in ("iid", "permuted")]
    found = judged(ABOVE, noisy(0.6), *nulls)
    assert [null.passing for null in found.nulls] == [1.0, 1.0]
    assert found.controlled == "fail"


def test_two_kinds_that_keep_the_same_are_one_family():
    nulls = [
        dataclasses.replace(draws(name, noisy(0.59, 1)), family="order")
        for name in ("iid", "permuted")
    ]
    assert judged(ABOVE, noisy(0.6), *nulls).controlled == "fail"
    apart = [nulls[0], dataclasses.replace(nulls[1], family="sink")]
    assert judged(ABOVE, noisy(0.6), *apart).controlled == "vacuous"


def test_rivals_must_be_beaten_but_make_nothing_vacuous():
    case = claim(bound=0.3, controls=["iid"], rivals=["exponential", "power-law"])
    near = [draws(name, noisy(0.45, 1), kind=name) for name in ("exponential", "power-law")]
    assert judged(case, noisy(0.6), FAR, *near).controlled == "pass"
    same = [draws(name, noisy(0.6, 1), kind=name) for name in ("exponential", "power-law")]
    found = judged(case, noisy(0.6), FAR, *same)
    assert found.controlled == "fail"
    assert "Null exponential has 0.59" in found.reason


@pytest.mark.parametrize("kind", ["two_groups", "change_point"])
def test_more_evidence_than_that_of_a_null_is_no_larger_effect(kind: str):
    """Both models have two groups, or a step; the null's are only noisier."""
    # The first four layers against the last, or the first six heads of each against the others.
    layer, head = np.indices((8, 12))
    step = np.where(layer < 4 if kind == "change_point" else head < 6, 0.0, 1.0)
    generator = np.random.default_rng(0)

    def world(noise: float) -> np.ndarray:
        return step[None, ..., None] + noise * generator.standard_normal((12, 8, 12, 1))

    case = claim(kind, smallest_effect=2.0, controls=["untrained"])
    found = judged(case, world(0.02), draws("untrained", world(0.1)))
    assert found.nulls[0].passing == 1.0
    assert found.nulls[0].difference.value > 2.0
    assert (found.literal, found.controlled) == ("pass", "fail")
    assert "passes the same test on 1 of 1 draws" in found.reason


def test_a_null_is_known_no_better_than_its_draws_agree():
    """A third seed is no discovery: its distance to two others must exceed what seeds differ by."""
    case = claim("distance_to_null", against="untrained", controls=["untrained"])
    generator = np.random.default_rng(1)
    passed = sum(
        judged(
            case,
            noisy(generator.normal(0.0, 0.15), 3 * i),
            draws("untrained", *(noisy(generator.normal(0.0, 0.15), 3 * i + k) for k in (1, 2))),
        ).literal
        == "pass"
        for i in range(60)
    )
    assert passed <= 5
    agreed = draws("untrained", noisy(0.1, 1), noisy(0.11, 2))
    assert judged(case, noisy(0.6), agreed).literal == "pass"


def test_one_kind_of_null_that_passes_makes_no_test_vacuous():
    found = judged(ABOVE, noisy(0.6), draws("iid", noisy(0.5, 1)), draws("permuted", noisy(0.1, 2)))
    assert [null.passing for null in found.nulls] == [1.0, 0.0]
    assert found.controlled != "vacuous"


@pytest.mark.parametrize(("passing", "verdict"), [(9, "vacuous"), (8, "fail")])
def test_nine_draws_in_ten_must_pass(passing: int, verdict: str):
    values = [noisy(0.6 if i < passing else 0.35, i) for i in range(10)]
    nulls = [draws(name, *values) for name in ("iid", "permuted")]
    found = judged(ABOVE, noisy(0.62, 20), *nulls)
    assert [null.passing for null in found.nulls] == [passing / 10] * 2
    assert found.controlled == verdict
    assert VACUOUS_SHARE == 0.9


def test_the_smallest_effect_counts_for_what_is_vacuous():
    """Nulls beyond the bound, but not by the smallest effect, do not pass."""
    nulls = [draws(name, noisy(0.35, 1)) for name in ("iid", "permuted")]
    found = judged(ABOVE, noisy(0.6), *nulls)
    assert [null.passing for null in found.nulls] == [0.0, 0.0]
    assert found.controlled == "pass"


def test_a_null_that_could_not_be_matched_is_reported_and_decides_nothing():
    unmatched = draws("permuted", noisy(0.1, 3), noisy(0.1, 4), unmatched=0.6)
    found = judged(ABOVE, noisy(0.6), FAR, unmatched)
    assert (found.literal, found.controlled) == ("pass", "unclear")
    assert found.nulls[1].unmatched == 0.6
    assert found.nulls[1].draws == 2
    assert found.nulls[1].lacking == "60% of the signals not matched"
    assert math.isnan(found.nulls[1].value)
    assert found.reason.endswith("Null permuted: 60% of the signals not matched.")


def test_a_null_that_is_lacking_leaves_it_open_and_says_why():
    lacking = NullDraws("permuted", "permuted", (), "it has no meaning for these signals")
    found = judged(ABOVE, noisy(0.6), FAR, lacking)
    assert (found.literal, found.controlled) == ("pass", "unclear")
    assert found.reason.endswith("Null permuted: it has no meaning for these signals.")
    assert found.nulls[1].draws == 0


def test_no_lacking_null_makes_a_test_vacuous():
    lacking = NullDraws("permuted", "permuted", (), "none")
    assert judged(ABOVE, noisy(0.6), draws("iid", noisy(0.6, 1)), lacking).controlled == "fail"


def test_a_claim_without_controls_cannot_pass_them():
    found = judged(claim(bound=0.3), noisy(0.6))
    assert (found.literal, found.controlled) == ("pass", "unclear")
    assert found.reason.endswith("No null was compared.")


def test_a_null_that_is_no_control_is_left_out():
    found = judged(claim(bound=0.3, controls=["iid"]), noisy(0.6), FAR, draws("other", noisy(0.6)))
    assert [null.name for null in found.nulls] == ["iid"]
    assert found.controlled == "pass"


@pytest.mark.parametrize("other", ["documents", "heads", "layers"])
def test_a_null_of_other_sequences_or_heads_is_not_compared(other: str):
    values = noisy(0.1, 3)
    shown = np.arange(12) + (other == "documents")
    values = (
        values[:, :, :3] if other == "heads" else values[:, :5] if other == "layers" else values
    )
    found = judged(ABOVE, noisy(0.6), FAR, draws("permuted", values, documents=shown))
    assert found.controlled == "unclear"
    assert found.nulls[1].lacking == "its sequences or heads are others"


# One of each way in which intervals are made.
LINEAR = ABOVE
SAMPLED = claim("share_in_range", bound=0.3, ranges=[[0.5, 9]], controls=["iid", "permuted"])
HEADS = claim(bound=0.3, controls=["iid", "permuted"], generality="heads")
WAYS = {"t": LINEAR, "bootstrap": SAMPLED, "heads": HEADS}


@pytest.mark.parametrize("way", WAYS)
def test_too_few_documents_say_how_many_are_needed(way: str):
    documents = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4])
    near = draws("permuted", noisy(0.1, 3), documents=documents)
    far = draws("iid", noisy(0.1, 3), documents=documents)
    found = judged(WAYS[way], subject(noisy(0.6), documents), far, near)
    assert (found.literal, found.controlled) == ("unclear", "unclear")
    assert "no interval: too few documents: 7, needs 10." in found.reason
    assert found.would_change.endswith("too few documents: 7, needs 10")
    assert (found.estimate.documents, found.estimate.n) == (7, 12)
    assert math.isfinite(found.estimate.value)
    enough = judged(WAYS[way], noisy(0.6), FAR, draws("permuted", noisy(0.1, 3)))
    assert enough.estimate.known


@pytest.mark.parametrize("way", WAYS)
def test_the_study_can_ask_for_more_documents(way: str):
    strict = dataclasses.replace(RULES, min_documents=13)
    found = judged(WAYS[way], noisy(0.6), FAR, draws("permuted", noisy(0.1, 3)), rules=strict)
    assert found.literal == "unclear"
    assert "too few documents: 12, needs 13" in found.reason


def test_claims_about_heads_need_six_layers():
    few = noisy(0.6, layers=5)
    assert "too few layers: 5, needs 6" in judged(HEADS, few).reason
    assert judged(LINEAR, few).literal == "pass"


@pytest.mark.parametrize(
    ("kind", "columns", "more"),
    [("slope", 1, {}), ("rank_trend", 1, {}), ("spread", 1, {}), ("change_point", 1, {})],
)
def test_claims_about_depth_need_six_layers(kind: str, columns: int, more: dict[str, Any]):
    case = claim(kind, **more)
    found = judged(case, noisy([0.6] * columns, layers=5))
    assert (found.literal, found.controlled) == ("unclear", "unclear")
    assert "too few layers: 5, needs 6" in found.reason
    assert "too few layers" not in judged(case, noisy([0.6] * columns, layers=6)).reason


@pytest.mark.parametrize(
    ("kind", "columns", "more"),
    [
        ("regression", 2, {}),
        ("variance_share", 3, {}),
        ("two_groups", 1, {}),
        ("spread", 1, {"over": "heads"}),
    ],
)
def test_claims_about_how_heads_differ_need_ten_heads(kind: str, columns: int, more: Any):
    case = claim(kind, [f"m{i}" for i in range(columns)], **more)
    found = judged(case, noisy([0.6] * columns, layers=1, heads=9))
    assert "too few heads: 9, needs 10" in found.reason
    assert judged(case, noisy([0.6] * columns, layers=1, heads=10)).estimate.known


def test_heads_like_these_are_another_question_than_these_heads():
    """Heads differ widely: this model passes on new text, a new one need not."""
    generator = np.random.default_rng(5)
    values = 0.5 + 0.5 * generator.standard_normal((1, 6, 4, 1)) + noisy(0.0)
    text, heads = judged(claim(bound=0.3), values), judged(HEADS, values)
    assert text.estimate.value == pytest.approx(heads.estimate.value)
    assert heads.estimate.high - heads.estimate.low > 5 * (text.estimate.high - text.estimate.low)
    expected = head_interval(values[..., 0], np.arange(12), 0.95)
    assert heads.estimate.low == pytest.approx(float(expected.low))
    assert heads.estimate.degrees == pytest.approx(float(expected.degrees))
    # How often such an interval was right stands beside it.
    assert f"{METHOD}; of normal heads it held the truth in {min(COVERAGE.values()):.1%}" in (
        heads.reason
    )
    assert METHOD not in text.reason


def test_the_interval_of_a_mean_is_that_of_its_documents():
    documents = np.repeat(np.arange(10), 3)
    values = noisy(0.6, sequences=30)
    found = judged(claim(bound=0.3), subject(values, documents)).estimate
    expected = clustered_t(values.mean(axis=(1, 2, 3)), documents, 0.95, 10)
    for mine, theirs in (("value", "mean"), ("low", "low"), ("error", "standard_error")):
        assert getattr(found, mine) == pytest.approx(float(getattr(expected, theirs)))
    assert (found.degrees, found.documents, found.n) == (9, 10, 30)


def test_a_bootstrap_interval_is_that_of_the_delta_method():
    values = noisy([2.0, 3.0], sequences=200, noise=0.5)
    values += np.random.default_rng(1).standard_normal((200, 1, 1, 2))
    case = claim("ratio", ["a", "b"], bound=1.0)
    found = judged(case, values, rules=Rules(resamples=2000)).estimate
    means = values.mean(axis=(1, 2))
    a, b = means.mean(axis=0)
    error = (means[:, 1] / a - b / a**2 * means[:, 0]).std(ddof=1) / math.sqrt(200)
    assert found.value == pytest.approx(b / a)
    assert found.error == pytest.approx(error, rel=0.08)


@pytest.mark.parametrize("way", ["t", "bootstrap"])
def test_differences_are_of_the_same_documents(way: str):
    """What a document does to model and null alike is no uncertainty of their difference."""
    shared = np.random.default_rng(2).standard_normal((12, 1, 1, 1))
    if way == "t":
        case = claim(bound=0.3, controls=["iid"])
    else:
        case = claim("ratio", ["a", "b"], bound=0.3, controls=["iid"])
    levels = [0.6] if way == "t" else [1.0, 0.6]
    null = [0.1] if way == "t" else [1.0, 0.1]
    push = shared * ([1] if way == "t" else [0, 1])
    observed, beside = noisy(levels, 3) + push, noisy(null, 4) + push
    paired = judged(case, observed, draws("iid", beside)).nulls[0].difference
    assert paired.value == pytest.approx(0.5, abs=0.03)
    assert paired.high - paired.low < 0.1
    # The same null with its documents in another order, as if they were independent.
    apart = judged(case, observed, draws("iid", beside[::-1])).nulls[0].difference
    assert apart.high - apart.low > 0.5


def test_only_heads_that_the_null_matched_are_compared():
    """Heads of level 0 are unmatched: they would pull the model's mean down, not the null's."""
    level = np.where(np.arange(4) < 1, -1.0, 0.6)[:, None]
    observed = level + noisy(0.0, 1)
    null = observed - 0.2 + noisy(0.0, 2)
    null[:, :, 0] = np.nan
    case = claim(bound=-5.0, controls=["iid"])
    found = judged(case, observed, draws("iid", null, unmatched=0.25)).nulls[0]
    assert found.difference.value == pytest.approx(0.2, abs=0.01)
    assert found.verdict == "pass"
    assert found.unmatched == 0.25
    other = claim("share_in_range", bound=-1.0, ranges=[[0.2, 2]], controls=["iid"])
    assert judged(other, observed, draws("iid", null, unmatched=0.25)).nulls[
        0
    ].difference.value == pytest.approx(0.0, abs=0.01)
    own = claim("distance_to_null", against="iid", controls=["iid"])
    found = judged(own, observed, draws("iid", null, unmatched=0.25))
    assert found.estimate.value == pytest.approx(0.2, abs=0.01)


def test_a_claim_of_a_distance_is_about_the_difference():
    case = claim("distance_to_null", against="permuted", bound=0.0, controls=["permuted", "iid"])
    found = judged(case, noisy(0.6), draws("permuted", noisy(0.2, 1)), draws("iid", noisy(0.1, 2)))
    assert found.estimate.value == pytest.approx(0.4, abs=0.02)
    assert (found.literal, found.controlled) == ("pass", "pass")
    near = judged(case, noisy(0.6), draws("permuted", noisy(0.2, 1)), draws("iid", noisy(0.59, 2)))
    assert (near.literal, near.controlled) == ("pass", "fail")
    assert [null.passing for null in near.nulls] == pytest.approx([math.nan, 1.0], nan_ok=True)


def test_a_claim_of_a_distance_is_vacuous_where_other_nulls_are_as_far():
    controls = ["permuted", "iid", "untrained"]
    case = claim("distance_to_null", against="permuted", bound=0.0, controls=controls)
    own, other = draws("permuted", noisy(0.2, 1)), draws("untrained", noisy(0.5, 3))
    found = judged(case, noisy(0.8), own, draws("iid", noisy(0.5, 2)), other)
    assert (found.literal, found.controlled) == ("pass", "vacuous")
    found = judged(case, noisy(0.8), own, draws("iid", noisy(0.25, 2)), other)
    assert (found.literal, found.controlled) == ("pass", "pass")
    far = judged(case, noisy(0.6), draws("permuted", noisy(0.7, 1)), draws("iid", noisy(0.1, 2)))
    assert (far.literal, far.controlled) == ("fail", "fail")


@pytest.mark.parametrize(
    ("null", "words"),
    [
        (NullDraws("permuted", "permuted", (), "it is missing"), "it is missing"),
        (draws("permuted", noisy(0.1), unmatched=0.7), "70% of the signals not matched"),
    ],
)
def test_a_distance_to_a_null_that_is_lacking_is_no_number(null: NullDraws, words: str):
    case = claim("distance_to_null", against="permuted", controls=["permuted"])
    found = judged(case, noisy(0.6), null)
    assert (found.literal, found.controlled) == ("unclear", "unclear")
    assert found.reason == f"No number: null permuted: {words}."
    assert math.isnan(found.estimate.value)


RANGE = claim(
    "equivalence", claimed="within", range=[-0.5, 0.5], smallest_effect=0.1, controls=["iid"]
)


@pytest.mark.parametrize("generality", ["text", "heads"])
@pytest.mark.parametrize(
    ("null", "gain", "verdict"),
    [(0.7, 0.6, "pass"), (-0.7, 0.6, "pass"), (0.15, 0.05, "fail"), (0.05, -0.05, "fail")],
)
def test_in_a_range_the_model_must_be_nearer_to_the_middle(generality, null, gain, verdict):
    """Noise of sequences and heads around the middle is no distance from it."""
    case = RANGE.model_copy(update={"generality": generality})
    observed, beside = noisy(-0.1, 1, sequences=60), noisy(null, 2, sequences=60)
    found = judged(case, observed, draws("iid", beside))
    assert found.literal == "pass"
    assert found.nulls[0].difference.value == pytest.approx(gain, abs=0.02)
    assert found.controlled == verdict
    if verdict == "fail":
        assert "the gain in distance to the range's middle" in found.reason
    spread = np.random.default_rng(3).standard_normal((60, 6, 4, 1))
    spread -= spread.mean(axis=(0, 1, 2, 3))
    noisier = judged(case, observed + spread, draws("iid", beside))
    assert noisier.nulls[0].difference.value == pytest.approx(gain, abs=0.02)


def test_in_a_range_the_smallest_effect_counts():
    near, far = (judged(RANGE, noisy(0.0), draws("iid", noisy(x, 2))) for x in (0.08, 0.12))
    assert near.nulls[0].verdict == "fail"
    assert far.nulls[0].verdict == "pass"


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_sequences_does_not_matter(way: str):
    documents = np.repeat(np.arange(12), 2)
    parts = [noisy(level, seed, sequences=24) for seed, level in enumerate((0.6, 0.5, 0.2))]
    order = np.random.default_rng(9).permutation(24)

    def found(rows: np.ndarray) -> Judged:
        nulls = [
            draws(name, part[rows], documents=documents[rows])
            for name, part in zip(("iid", "permuted"), parts[1:], strict=True)
        ]
        return judged(WAYS[way], subject(parts[0][rows], documents[rows]), *nulls)

    one, other = found(np.arange(24)), found(order)
    for mine, theirs in zip((one, *one.nulls), (other, *other.nulls), strict=True):
        for part in ("estimate", "difference"):
            if hasattr(mine, part):
                a, b = (dataclasses.astuple(getattr(x, part))[:7] for x in (mine, theirs))
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert (one.literal, one.controlled) == (other.literal, other.controlled)


def test_a_seed_gives_the_same_numbers_again():
    values, null = noisy(0.52, noise=0.5), draws("iid", noisy(0.1, 1))

    def low(seed: int) -> tuple[float, float]:
        found = judged(SAMPLED, values, null, rules=Rules(resamples=200, seed=seed))
        return found.estimate.low, found.nulls[0].difference.low

    assert low(1) == low(1)
    assert low(1) != low(2)


def test_other_nulls_do_not_change_the_numbers_of_one():
    alone = judged(SAMPLED, noisy(0.6), FAR)
    beside = judged(SAMPLED, noisy(0.6), draws("permuted", noisy(0.3, 5)), FAR)
    assert alone.estimate == beside.estimate
    assert alone.nulls[0] == beside.nulls[1]


def test_effect_sizes_are_over_heads():
    observed = np.full((12, 2, 5, 1), 0.6) + noisy(0.0, 1, layers=2, heads=5, noise=1e-6)
    null = np.broadcast_to(np.linspace(0, 0.9, 10).reshape(2, 5, 1), observed.shape)
    found = judged(claim(bound=0.3, controls=["iid"]), observed, draws("iid", null)).nulls[0]
    heads = np.linspace(0, 0.9, 10)
    # Six of ten null heads lie below 0.6, one at it.
    assert found.superiority == pytest.approx(0.65, abs=0.051)
    assert found.null_sd == pytest.approx((0.6 - heads.mean()) / heads.std(ddof=1), rel=1e-3)


def test_models_in_a_row_are_one_subject():
    places = np.log([1.0, 2, 4, 8])
    case = claim(
        "rank_trend",
        over="parameters",
        needs=[*"mnop"],
        claimed="above",
        bound=0.0,
        smallest_effect=0.3,
        controls=["iid"],
    )

    def row(levels: tuple[float, ...], seed: int) -> Subject:
        panels = [panel(noisy(level, seed + i, layers=2 + i)) for i, level in enumerate(levels)]
        return Subject(tuple(panels), places)

    growing, flat = row((0.1, 0.2, 0.5, 0.9), 0), row((0.9, 0.5, 0.2, 0.1), 10)
    found = judge(case, growing, [NullDraws("iid", "iid", [flat])], RULES)
    assert found.estimate.value == 1.0
    assert (found.literal, found.controlled) == ("pass", "pass")
    assert found.nulls[0].value == -1.0
    found = judge(case, growing, [NullDraws("iid", "iid", [growing])], RULES)
    assert (found.literal, found.controlled) == ("pass", "fail")
    short = Subject(growing.panels[:3], places[:3])
    found = judge(case, growing, [NullDraws("iid", "iid", [short])], RULES)
    assert found.nulls[0].lacking == "its sequences or heads are others"


def test_models_that_read_the_same_documents_share_their_resamples():
    """The same push of each document on every model cancels in their slope."""
    push = np.random.default_rng(0).standard_normal((12, 1, 1, 1))
    case = claim("slope", over="parameters", needs=[*"mnop"], smallest_effect=0.0)
    panels = [panel(level + push + noisy(0.0, i, noise=0.01)) for i, level in enumerate((1, 2, 3))]
    found = judge(case, Subject(tuple(panels), np.arange(3.0)), [], RULES)
    assert found.estimate.value == pytest.approx(1.0, abs=0.01)
    assert found.estimate.error < 0.02


def test_a_model_without_a_number_is_undecided():
    found = judged(ABOVE, np.full((12, 6, 4), np.nan), FAR)
    assert (found.literal, found.controlled) == ("unclear", "unclear")
    assert found.reason.startswith("Estimate undefined, no interval: there is no value.")
    flat = judged(claim("rank_trend"), np.ones((12, 6, 4)))
    assert flat.literal == "unclear"
    assert "there is no value" in flat.reason


def test_judging_leaves_its_inputs_as_they_were():
    observed, null = noisy(0.6), noisy(0.5, 1)
    null[:, 0, 0] = np.nan
    before = observed.copy(), null.copy()
    judged(ABOVE, observed, draws("iid", null))
    np.testing.assert_array_equal(observed, before[0])
    np.testing.assert_array_equal(null, before[1])


def test_a_panel_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="a document for each sequence"):
        Panel(np.zeros((3, 2, 2, 1)), np.arange(4))
    with pytest.raises(ValueError, match="sequence, layer, head, column"):
        Panel(np.zeros((3, 2, 2)), np.arange(3))
    assert panel(np.zeros((4, 1, 1)), [1, 1, 2, 3]).groups == 3


def test_averages_leave_undefined_sequences_out():
    values = np.array([1.0, np.nan, 3.0])[:, None, None]
    np.testing.assert_allclose(panel(values).mean(), [[[2.0]]])
    weights = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(panel(values).averages(weights)[:, 0, 0, 0], [1.0, np.nan])
