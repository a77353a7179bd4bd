"""A piece of work that is killed, or meets a full or a broken disk, at each change of a file.

shim.c says what a change is and makes the chosen one fail; forks.py starts the processes. After
each fault the work is done once more, undisturbed, and must leave what it leaves where nothing
ever failed.
"""

import contextlib
import ctypes
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "support"))
import forks  # noqa: E402

PAGE = "FAULTS_PAGE"
COUNT, KILL, NO_SPACE, BROKEN = range(4)
FAULTS = {"kill": KILL, "no space": NO_SPACE, "broken": BROKEN}
STEPS = 64


class Page(ctypes.Structure):
    """What the processes share, as shim.c has it."""

    _fields_ = (
        ("counts", ctypes.c_long * STEPS),
        ("step", ctypes.c_long),
        ("chosen_step", ctypes.c_long),
        ("chosen", ctypes.c_long),
        ("mode", ctypes.c_long),
        ("databases", ctypes.c_long),
        ("fired", ctypes.c_long),
        ("root", ctypes.c_char * 1024),
        ("label", ctypes.c_char * 1024),
        ("trace", ctypes.c_char * 1024),
    )

    @classmethod
    def at(cls, path):
        """The page that lies in a file."""
        with Path(path).open("r+b") as file:
            return cls.from_buffer(mmap.mmap(file.fileno(), 0))

    def watch(self, mode=COUNT, step=0, chosen=0):
        """From here on changes count, and this befalls the chosen one."""
        self.chosen_step, self.chosen, self.mode = step, chosen, mode
        self.counts[:] = [0] * STEPS
        self.step = self.fired = 0
        self.label = b""

    def rest(self):
        """From here on nothing befalls anybody."""
        self.mode = COUNT


class Bench:
    """Files, and work on them that is done again and again from the same start.

    A subclass says what is there at the start (`start`), what the work is (`words`, a module and
    its arguments, in the folder `home`), and what must be the same afterwards (`left`).
    """

    server_code = Path(__file__)
    """A script that serves forks where it is called with `--serve ADDRESS`."""

    def __init__(self, folder):
        self.folder = folder
        self.place, self.kept = folder / "place", folder / "kept"
        self.address = str(folder / "server")
        library, page = folder / "shim.so", folder / "page"
        build = ["cc", "-O1", "-shared", "-fPIC", "-o", library, HERE / "shim.c", "-ldl"]
        subprocess.run(build, check=True)
        page.write_bytes(bytes(ctypes.sizeof(Page)))
        self.page = Page.at(page)
        self.page.root = str(self.place).encode()
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW_T"))}
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        path = [str(HERE.parents[1]), str(HERE), str(HERE.parent / "support")]
        self.environment = (
            keep
            | one
            | {
                forks.LEARN: str(folder / "modules"),
                PAGE: str(page),
                "LD_PRELOAD": str(library),
                "PYTHONPATH": os.pathsep.join(path),
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), keep["PATH"]]),
            }
            | self.variables()
        )
        command = [sys.executable, self.server_code, "--serve", self.address]
        self.server = subprocess.Popen(command, env=self.environment, start_new_session=True)
        while not Path(self.address).exists():
            assert self.server.poll() is None, "the server of forks ended"
            time.sleep(0.05)

    def variables(self):
        """Further ones of the processes."""
        return {}

    def prepare(self):
        """All as it is at the start, kept to begin from again."""
        self.start()
        shutil.copytree(self.place, self.kept, symlinks=True)

    def reset(self):
        """All as it was at the start."""
        shutil.rmtree(self.place)
        shutil.copytree(self.kept, self.place, symlinks=True)

    def work(self):
        """Do the work; its exit code (negative: a signal), and all that was said."""
        with tempfile.TemporaryFile() as said, open(os.devnull) as none:  # noqa: PTH123
            files = [none.fileno(), said.fileno(), said.fileno()]
            link = forks.ask(self.address, self.words, self.home, self.environment, files)
            link.recv(8)
            code = os.waitstatus_to_exitcode(int.from_bytes(link.recv(8), "little"))
            self._end_all()
            said.seek(0)
            return code, said.read().decode(errors="replace")

    def _end_all(self):
        """Nobody lives on: of a killed run, those would that change nothing."""
        living = psutil.Process(self.server.pid).children(recursive=True)
        for process in living:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(living, timeout=10)

    def learn(self):
        """Have the server import what the processes so far have imported."""
        forks.ask(self.address, ["import"], self.folder, {}, [0, 1, 2]).recv(8)

    def close(self):
        """End the server."""
        self.server.kill()
        self.server.wait()


class Sweep:
    """Every change of the work, made to fail in one way."""

    def __init__(self, bench, fault, databases=False):
        self.bench, self.mode, self.name = bench, FAULTS[fault], fault
        self.bench.page.databases = int(databases)
        self.faults, self.hit, self.code = [], Counter(), None
        bench.reset()
        bench.page.watch(self.mode, 0, -1)
        code, said = bench.work()
        assert code == 0, said
        last = max(step for step, count in enumerate(bench.page.counts) if count)
        self.counts = list(bench.page.counts)[: last + 1]
        self.expected = bench.left()

    def chain(self, number):
        """Let the change of this number fail in every step of the work that has so many: the next
        try goes on from what the fault left, and fails in the next step.
        """
        self.bench.reset()
        done = []
        for step, count in enumerate(self.counts):
            if number > count:
                continue
            if not self.fail(step, number):  # what went before had done this step already
                self.check(done, number)
                done = []
                self.bench.reset()
                if not self.fail(step, number):
                    self.fault(step, number, "was not reached", "")
            done.append(step)
            if self.code == 0:  # it came to its end nevertheless
                self.check(done, number)
                done = []
                self.bench.reset()
        if done:
            self.check(done, number)

    def fail(self, step, number):
        """Work with this fault; whether it came to pass."""
        page = self.bench.page
        page.watch(self.mode, step, number)
        self.code, said = self.bench.work()
        page.rest()
        if not page.fired:
            return False
        label = page.label.decode(errors="replace")
        self.hit[re.sub(r"[0-9a-f]{6,}|[\w-]{22}", "N", label)] += 1
        wrong = None if self.mode == KILL else _wrong(self.code, said)
        if wrong:
            self.fault(step, number, f"{label}: {wrong}", said)
        return True

    def check(self, steps, number):
        """The next try ends as if nothing had ever failed."""
        code, said = self.bench.work()
        if code != 0:
            self.fault(steps, number, f"the next run ended with {code}", said)
            return
        try:
            left = self.bench.left()
        except Exception as error:  # a file that is missing or damaged
            self.fault(steps, number, f"the next run left {error!r}", said)
            return
        wrong = [
            f"{key} {_unlike(value, left[key])}"
            for key, value in self.expected.items()
            if left[key] != value
        ]
        if wrong:
            self.fault(steps, number, f"the next run left others: {'; '.join(wrong)}", said)

    def fault(self, step, number, what, said):
        """Note and say what went wrong."""
        print(f"FAULT {self.name} at change {number} of step {step}: {what}", flush=True)
        print("    " + "\n    ".join(said.strip().splitlines()[-12:]), flush=True)
        self.faults.append((step, number, what))

    def __str__(self):
        return (
            f"{self.name}: {sum(self.hit.values())} of {sum(self.counts)} changes failed, in "
            f"{len(self.hit)} places; {len(self.faults)} faults found"
        )


def _unlike(expected, left):
    """What differs between two accounts of the same thing, such as names of files."""
    if not isinstance(expected, dict):
        return f"{expected} -> {left}"
    return sorted(key for key in expected | left if expected.get(key) != left.get(key))


def _wrong(code, said):
    """What is wrong with the end of a run that met an error of the disk; None: nothing."""
    if "Traceback" in said:
        return "a traceback"
    if code not in (0, 2):
        return f"exit code {code}"
    lines = re.findall(r"^csa: ", said, re.MULTILINE)
    return "not one line" if code == 2 and len(lines) != 1 else None
