"""Pages as programs: their blocks are run in order, and what they print is compared.

A `text` block right after a `bash` or `python` block is what that block prints, where a line `...`
stands for any lines. A `yaml` block is a file named in its first line, a `diff` block a change of
one. A block after `<!-- not run: reason -->` is left alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^>]+ -->\n+)?^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    code: str
    line: int
    skipped: bool


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text[: found.start("language")].count("\n") + 1
        yield Block(found["language"], found["code"], line, found["skip"] is not None)


def matches(expected: str, printed: str) -> bool:
    """Whether the output is as said, `...` standing for any lines and line ends for nothing."""

    def lines(text: str) -> list[str]:
        return [line.rstrip() for line in text.strip().splitlines()]

    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in lines(expected)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines(printed))) is not None


class Runner:
    """Runs the blocks of one page in a folder; Python blocks share their names."""

    def __init__(self, folder: Path, names: dict[str, Any]) -> None:
        self.folder = folder
        self.names = names

    def __call__(self, page: str) -> int:
        """Run a page and return how many blocks were run."""
        path = ROOT / page  # an absolute page stays what it is
        printed, count = None, 0
        for block in blocks(path):
            where = f"{page}, line {block.line}"
            if block.language == "text":
                if printed is not None:
                    assert matches(block.code, printed), f"{where}: printed instead:\n{printed}"
                printed = None
                continue
            printed = None
            if not block.skipped:
                printed = getattr(self, f"_{block.language}")(block.code, where)
                count += 1
        return count

    def _bash(self, code: str, where: str) -> str:
        scripts = str(Path(sys.executable).parent)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{where}:\n{done.stdout}"
        return done.stdout

    def _python(self, code: str, where: str) -> str:
        output = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(output):
            exec(compile(code, where, "exec"), self.names)
        return output.getvalue()

    def _yaml(self, code: str, where: str) -> None:
        first = code.splitlines()[0]
        assert first.startswith("# conf/"), f"{where}: the first line must name the file"
        (self.folder / first.removeprefix("# ")).write_text(code, encoding="utf-8")

    def _diff(self, code: str, where: str) -> None:
        # Without a repository above it, git changes the files of the current folder.
        done = subprocess.run(
            ["git", "apply", "-"],
            cwd=self.folder,
            input=code,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self.folder.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{where}: {done.stderr}"


def _project(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "conf"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture
def run_page(tmp_path: Path) -> Callable[..., int]:
    """`run_page(page, names)` runs a page in a fresh clone, its Python with these names."""

    def run(page: str, names: dict[str, Any] | None = None) -> int:
        return Runner(_project(tmp_path / "clone"), names or {"__name__": "page"})(page)

    return run


@pytest.fixture(scope="session")
def planned_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which Snakemake believes the quickstart was run: empty files and true records."""
    folder = _project(tmp_path_factory.mktemp("quickstart") / "clone")

    def snakemake(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for line in snakemake("--summary").splitlines()[1:]:
        path = folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    snakemake("--touch", "--forceall", "--quiet", "all")
    return folder


@pytest.fixture
def run_page_after_quickstart(planned_out: Path, tmp_path: Path) -> Callable[[str], int]:
    """Runs a page in a clone whose quickstart is finished, as far as planning goes."""

    def run(page: str) -> int:
        folder = tmp_path / "clone"
        shutil.copytree(planned_out, folder)
        return Runner(folder, {"__name__": "page"})(page)

    return run
