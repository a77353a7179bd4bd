"""Walk through tutorials as a reader would: every code block in order, in an empty folder.

python -m docs.walk PAGE ...       one page after the other, in one folder

A block `sh` is run by bash and a block `python` by Python; the next one goes on in the folder where
it ended, with what it exported. A block `text` after one of them shows what the reader will see of
its output: its lines have to be there, in this order, but for numbers, spaces and what stands for
`…`.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WILD = re.compile(r"[\d.,]*\d[\d.,]*|\s+|…")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of every block that is run or that shows output, in order."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found[1], found[2]


def unseen(shown: str, output: str) -> list[str]:
    """Lines that a page shows and that an output lacks, or has in another order.

    Args:
        shown: what the page shows.
        output: what a block wrote.

    Returns:
        The first line that is missing, if there is one; a line of `…` stands for any lines.
    """
    at = 0
    for line in filter(None, map(str.strip, shown.splitlines())):
        found = re.compile(_pattern(line)).search(output, at)
        if found is None:
            return [line]
        at = found.end()
    return []


def _pattern(line: str) -> str:
    """A regular expression of a line in which numbers, spaces and `…` may differ."""
    wild = (
        r"\s+" if part.isspace() else ".*" if part == "…" else r"[\d.,]+"
        for part in _WILD.findall(line)
    )
    words = (re.escape(part) for part in _WILD.split(line))
    return "".join(word + next(wild, "") for word in words)


def walk(page: Path, folder: Path) -> list[str]:
    """Run a page's blocks.

    Args:
        page: a tutorial.
        folder: where the reader is; what a page before left in it is still there.

    Returns:
        What went wrong, a sentence each; nothing runs after the first block that fails.
    """
    output, wrong, started = "", [], []
    environment = _environment() | {"WALK": str(folder.parent / f"{folder.name}.env")}
    try:
        for language, text in blocks(page):
            if language == "text":
                wrong += [
                    f"{page.name} shows a line that is not written: {line}"
                    for line in unseen(text, output)
                ]
                continue
            started.append(_start(language, text, folder, environment))
            output, _ = started[-1].communicate()
            print(text, output, sep="\n", flush=True)
            if started[-1].returncode:
                return [*wrong, f"{page.name}: exit code {started[-1].returncode} of\n{text}"]
        return wrong
    finally:
        for process in started:  # what it left in the background
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def _start(
    language: str, text: str, folder: Path, environment: dict[str, str]
) -> "subprocess.Popen[str]":
    """A block at work, in a process group of its own; it goes on where the last one ended."""
    lines = text if language == "sh" else f"{shlex.quote(sys.executable)} - <<'END'\n{text}END\n"
    script = f'if [ -f "$WALK" ]; then . "$WALK"; cd "$PWD"; fi\n{lines}\nexport -p > "$WALK"\n'
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """That of a reader who has csa installed, and a name for git."""
    nobody = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "a reader"), ("EMAIL", "reader@example.org"))
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | nobody | {"PATH": path, "COLUMNS": "100"}


def main(arguments: list[str]) -> int:
    """Walk through pages; returns the exit code."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        (start := Path(folder) / "start").mkdir()
        for page in (Path(name).resolve() for name in arguments):
            wrong += [] if wrong else walk(page, start)
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
