"""Why a statistic of this room is undefined; every `reason` field holds one of these or ""."""

from __future__ import annotations

__all__ = ["REASONS"]

REASONS: dict[str, str] = {
    "undefined": "there is no value",
    "documents": "too few documents",
    "layers": "too few layers",
    "draws": "the statistic is undefined in too many resamples",
    "few": "too few values for this many parameters",
    "constant": "the values do not vary",
    "groups": "too few groups, or a group with too few values",
    "duplicates": "more than one run for a combination that is compared",
    "unbalanced": "nothing that is compared has a run of every seed",
    "collinear": "the columns determine each other",
}
"""Reason -> what it means."""
