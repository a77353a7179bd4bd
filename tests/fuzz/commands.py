"""Fuzz the command line: `make fuzz MINUTES=60`, or `python tests/fuzz/commands.py --minutes 60`.

Each case is a command with its own options and arguments, as click knows them, and values that
nobody expects: bytes that are no UTF-8, thousands of words, pipes, devices, folders, huge numbers.
A worker process calls it in a workspace with two versions, under a limit of memory and of time; an
exit code beside 0, 1 and 2, a traceback, or more than one line for what is refused, is printed.
"""

import argparse
import os
import random
import resource
import shlex
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[2] / room) for room in (".", "tests/support"))

from supervisor import Supervisor

SECONDS = 10
FIRST_SECONDS = 60  # a fresh worker loads its libraries
GIGABYTES = 4  # libraries and their threads reserve most of it
# Those that run the pipeline, serve, or wait for a server, and so take their time.
LEFT_OUT = {"run", "schedule", "approve", "advise", "forget", "sweep", "status", "doctor", "init"}
VALUES = [
    "", " ", "0", "1", "-1", "2", "9" * 30, "9" * 5000, "1e400", "nan", "x", "a circle", "--", "-",
    "champion", "challenger", "models:/shapes@champion", "models:/x/1", "main", "..", "../..", "/",
    "\udcff\udcfe", "x" * 5000, "wort " * 10_000, "\x1b]0;title\x07", "\u202egnp.exe", "a\nb", "~",
    "f" * 64, "f" * 16, "PIPE", "PIPE.png", "FOLDER", "FOLDER.png", "FILE", "FILE/x.png",
    "/dev/zero", "/dev/null", "DEAD.html", "LOOP.csv", "out.png", "out.html", "out.csv",
    "out.safetensors",
    "params.yaml", "shapes/images/red-star.png", "SELECT 1", "SELECT * FROM runs",
    "COPY runs TO 'x'",
    "x=y", "fit.folds=3", "dataset.path=", "0.1,0.2", "image=x",
]  # fmt: skip


def prepare(folder: Path) -> None:
    """A workspace with two versions, and what lies in the way."""
    from workspaces import two_versions

    two_versions(folder)
    os.mkfifo(folder / "PIPE")
    os.mkfifo(folder / "PIPE.png")
    for name in ("FOLDER", "FOLDER.png"):
        (folder / name).mkdir()
    (folder / "FILE").write_text("kept")
    (folder / "DEAD.html").symlink_to("nowhere")
    (folder / "LOOP.csv").symlink_to("LOOP.csv")


def case_of(dice: random.Random) -> list[str]:
    """A command line."""
    import click

    from csa.cli.commands import main

    name = dice.choice(sorted(set(main.commands) - LEFT_OUT))
    command: Any = main.commands[name]
    words = [name]
    if isinstance(command, click.Group):
        part = dice.choice(sorted(set(command.commands)))
        command, words = command.commands[part], [name, part]
    for param in command.params:
        if isinstance(param, click.Argument):
            count = dice.choice((0, 1, 1, 1, 3)) if param.nargs == -1 else 1
            words += [dice.choice(VALUES) for _ in range(count)]
        elif param.name not in ("help", "show") and dice.random() < (
            0.9 if param.required else 0.3
        ):
            words.append(dice.choice(param.opts))
            if not getattr(param, "is_flag", False):
                words.append(dice.choice(VALUES))
    if dice.random() < 0.1:
        words.insert(dice.randrange(len(words) + 1), dice.choice(VALUES))
    return words


def call(words: list[str]) -> str:
    """Call one case: "answered", "refused", or what is wrong with what it did."""
    from click.testing import CliRunner

    from csa.cli.commands import main

    done = CliRunner().invoke(main, words, prog_name="csa", input=b"a circle\n\xff\n")
    if done.exception and not isinstance(done.exception, SystemExit):
        return "".join(traceback.format_exception(done.exception))
    if done.exit_code not in (0, 1, 2):
        return f"exit code {done.exit_code}"
    ours = [line for line in done.stderr.splitlines() if line.startswith("csa: error: ")]
    if done.exit_code == 2 and len(ours) != 1 and "--help" not in words:
        return f"{len(ours)} lines: {done.stderr[-500:]}"
    if any("nothing here was ready for this" in line for line in ours):
        return f"not foreseen: {ours[0]}"
    if "\x1b" in done.output:
        return "an escape sequence in the output"
    return "refused" if done.exit_code else "answered"


def worker(pipe: Connection, folder: str) -> None:
    """Call cases as they come."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.chdir(folder)
    limit = GIGABYTES * 2**30  # of data: what libraries map is no memory of theirs
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    while True:
        words = pipe.recv()
        try:
            pipe.send(call(words))
        except BaseException:
            pipe.send(traceback.format_exc())


def main() -> None:
    """Run the cases and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "repo"
    prepare(folder)
    supervisor, counts, number = Supervisor(worker, str(folder)), Counter[str](), 0
    ends = time.monotonic() + 60 * options.minutes
    while time.monotonic() < ends:
        words = case_of(random.Random(f"{options.seed}:{number}"))
        seconds = FIRST_SECONDS if "report" in words else SECONDS  # it draws 50 sheets
        outcome = supervisor.ask(words, seconds, FIRST_SECONDS)
        if outcome not in ("answered", "refused"):
            shown = shlex.join(word[:60] for word in words).encode("utf-8", "backslashreplace")
            print(f"case {options.seed}:{number}: csa {shown.decode()}: {outcome}", flush=True)
            outcome = "found"
        counts[outcome] += 1
        number += 1
    supervisor.stop()
    kept = (folder / "FILE").read_text() == "kept" and (folder / "PIPE.png").is_fifo()
    print(f"{number} command lines in {options.minutes:g} min: {dict(counts)}; others kept: {kept}")
    sys.exit(counts["found"] > 0 or not kept)


if __name__ == "__main__":
    main()
