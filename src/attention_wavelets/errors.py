"""The one error a user sees: what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["PipelineError", "nearest", "unknown_name"]

# Characters of a list of allowed names.
_LONGEST = 600


class PipelineError(Exception):
    """A problem the user can act on; the command line prints it as one line.

    Parameters
    ----------
    what
        What is wrong, without a final full stop.
    where
        The file, key, model or layer it was found in.
    todo
        What to do next.
    """

    def __init__(self, what: str, where: str = "", todo: str = "") -> None:
        parts = [f"{where}: {what}" if where else what]
        if todo:
            parts.append(todo)
        super().__init__("; ".join(" ".join(part.split()) for part in parts))


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint `did you mean 'x'? ` for the closest allowed spelling, or an empty string."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'? " if close else ""


def unknown_name(kind: str, name: str, allowed: Iterable[str], where: str = "") -> PipelineError:
    """The error for a name that no registry or config group has; it lists the allowed ones."""
    options = sorted(allowed)
    return PipelineError(
        f"unknown {kind} '{name}'", where, f"{nearest(name, options)}allowed: {_listed(options)}"
    )


def _listed(options: list[str]) -> str:
    """All of them, or as many as fit a line that is still read, and how many there are."""
    text = ", ".join(options)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST].rpartition(', ')[0]}, ... ({len(options)} in all)"
