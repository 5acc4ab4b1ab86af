"""Are checkpoints what their names say? Told from the hub's listings, without a download."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attention_wavelets.config.checkpoints import KNOWN_FILE, read_known
from attention_wavelets.config.schema import HubSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources.hub import list_files
from attention_wavelets.store.atomic import write_text

__all__ = [
    "Finding",
    "add_findings",
    "audit_checkpoints",
    "compare_listings",
    "refuse_new",
]

# Name -> size in bytes and sha256, of the files with weights.
Listing = Mapping[str, tuple[int, str | None]]

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")
# Checkpoints of one run are of one size; headers may differ by a little.
_SIZE_TOLERANCE = 0.01
# Its weights should be those of the last step, and of no other.
_MAIN = "main"


@dataclass(frozen=True)
class Finding:
    """What is wrong with one revision."""

    repository: str
    revision: str
    finding: str


def audit_checkpoints(sources: Sequence[HubSource]) -> list[Finding]:
    """Ask the hub for the files of each revision, and compare those of one repository.

    Parameters
    ----------
    sources
        Revisions of any repositories.

    Raises
    ------
    PipelineError
        The hub cannot be asked.
    """
    found: list[Finding] = []
    for repository in dict.fromkeys(source.repository for source in sources):
        own = [source for source in sources if source.repository == repository]
        listings = {source.revision: list_files(source) for source in own}
        final = own[0].model_copy(update={"revision": _MAIN})
        # To tell a step that has the final weights, where the study does not take the last one.
        beside = {} if _MAIN in listings else {_MAIN: list_files(final)}
        found += [
            finding
            for finding in compare_listings(repository, {**listings, **beside})
            if finding.revision in listings
        ]
    return found


def compare_listings(repository: str, listings: Mapping[str, Listing | None]) -> list[Finding]:
    """What is wrong with revisions, from their files alone.

    Parameters
    ----------
    repository
        Whose they are.
    listings
        Revision -> all its files, or None where there is no such revision. Of `main` the step with
        the highest number may have the weights, and no other.

    Returns
    -------
    list of Finding
        One per revision at most, in the order of `listings`.
    """
    weights = {r: _weights(listing) for r, listing in listings.items() if listing is not None}
    sizes = Counter(sum(size for size, _ in files.values()) for files in weights.values() if files)
    usual = sizes.most_common(1)[0][0] if sizes else 0
    last = max(weights, key=_step, default="")
    found = []
    for revision, listing in listings.items():
        if listing is None:
            text: str | None = "there is no such revision"
        else:
            text = _fault(revision, listing, weights, usual, last)
        if text is not None:
            found.append(Finding(repository, revision, text))
    return found


def add_findings(conf: Path, findings: Sequence[Finding], source: str) -> list[Finding]:
    """Write findings that the file of known ones lacks at its end; return those."""
    known = read_known(conf)
    new = [f for f in findings if (f.repository, f.revision) not in known]
    if not new:
        return []
    path = conf / KNOWN_FILE
    old = path.read_text(encoding="utf-8").rstrip("\n") + "\n" if path.is_file() else ""
    lines = [
        f"- repository: {f.repository}\n  revisions: ['{f.revision}']\n"
        f"  finding: {f.finding}\n  source: {source}\n"
        for f in new
    ]
    write_text(path, old + "\n" * bool(old) + "".join(lines))
    return new


def _weights(listing: Listing) -> Listing:
    return {name: facts for name, facts in listing.items() if name.endswith(".safetensors")}


def _fault(
    revision: str, listing: Listing, weights: Mapping[str, Listing], usual: int, last: str
) -> str | None:
    own = weights[revision]
    if not own:
        pickled = any(name.endswith((".bin", ".pt", ".pth")) for name in listing)
        return "there are pickled weights only" if pickled else "there are no weights"
    if lost := _lost_shard(own):
        return f"{lost} is missing"
    apart = (revision, _MAIN) if revision == last else (revision,)
    others = {other: files for other, files in weights.items() if other not in apart}
    if revision != _MAIN:
        same = [other for other, files in others.items() if _digests(files) == _digests(own)]
        if same:
            return f"the weights are those of {', '.join(same[:5])}{' ...' if same[5:] else ''}"
        for name, (_, digest) in sorted(own.items()):
            holders = [o for o, files in others.items() if files.get(name, (0, None))[1] == digest]
            if digest is not None and holders:
                return f"{name} is that of {', '.join(holders[:5])}"
    size = sum(size for size, _ in own.values())
    if abs(size - usual) > _SIZE_TOLERANCE * usual:
        return f"{size} bytes of weights, other revisions have {usual}"
    return None


def _step(revision: str) -> int:
    found = re.search(r"step(\d+)", revision)
    return int(found[1]) if found else -1


def _digests(files: Listing) -> dict[str, str | None]:
    return {name: digest for name, (_, digest) in files.items()}


def _lost_shard(files: Listing) -> str | None:
    """The first shard that the names of the others speak of."""
    for name in sorted(files):
        if match := _SHARD.search(name):
            stem, count, width = name[: match.start()], int(match[2]), len(match[1])
            for number in range(1, count + 1):
                shard = f"{stem}-{number:0{width}d}-of-{match[2]}.safetensors"
                if shard not in files:
                    return shard
    return None


def refuse_new(findings: Sequence[Finding], name: str) -> None:
    """Stop before anything is fetched where a checkpoint is not what its name says."""
    if not findings:
        return
    first, more = findings[0], f" (and {len(findings) - 1} more)" if findings[1:] else ""
    raise PipelineError(
        f"{first.repository} at {first.revision}: {first.finding}{more}",
        f"checkpoints of {name}",
        f"`attention-wavelets audit` writes them into conf/{KNOWN_FILE}; with "
        "study.bad_checkpoints=skip a study then runs without them",
    )
