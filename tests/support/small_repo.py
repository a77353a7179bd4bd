"""A project with a small data set of real pictures and texts, driven as a user drives it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import first_use
import plainly
import psutil
import warm
import yaml
from here import run_here
from own_project import environment
from PIL import Image, ImageDraw

from csa.operations.project import make_project
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "brown"]
SHAPES = ["circle", "square", "triangle", "cross", "ring", "star", "line", "arrow"]


class SmallRepo:
    """A project with a table data set, under git; `variables` are those of its commands."""

    def __init__(self, folder, params=None, variables=None):
        self.root, self.variables = folder, dict(variables or {})
        make_shapes(folder / "shapes")
        make_project(folder, folder / "shapes")
        self.set_params(params or SHAPES_PARAMS)
        for command in (["add", "-A"], ["commit", "-qm", "start"]):
            subprocess.run(["git", *command], cwd=folder, env=environment(), check=True)
        self.ws = Workspace(folder, folder / ".csa")
        first_use.prepare(self.ws)

    def set_params(self, params):
        (self.root / "params.yaml").write_text(
            yaml.safe_dump(Params.from_mapping(params).dump(), sort_keys=False)
        )

    def start(self, *arguments, module="csa.cli", variables=None, **options):
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=environment(**self.variables, **(variables or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments, module="csa.cli", typed=None, whole=False):
        """A command to its end; `csa run` without Prefect and figures, unless it is to be whole."""
        left_out = {} if whole else plainly.VARIABLES
        with warm.processes():
            process = self.start(
                *arguments, module=module, variables=left_out, stdin=subprocess.PIPE
            )
        out, err = process.communicate(typed, timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def csa_run(self, whole=False):
        """`csa run --json` that has to work; its summary."""
        done = self.run("run", "--json", whole=whole)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run_here(self):
        """What `csa_run` does, in this process and without Prefect."""
        return run_here(self.ws)

    def kill_when(self, condition, everything=True, whole=True):
        """Start `csa run` and kill -9 it, with all it started, as soon as the condition holds."""
        if whole:
            process = self.start("run")
        else:
            found = [str(Path(plainly.__file__).parent), os.environ.get("PYTHONPATH", "")]
            path = {"PYTHONPATH": os.pathsep.join(filter(None, found))}
            process = self.start("run", module="plainly", variables=path)
        deadline = time.monotonic() + 200
        while not condition(psutil.Process(process.pid)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        victims = [
            process,
            *(psutil.Process(process.pid).children(recursive=True) if everything else []),
        ]
        for victim in victims:
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()  # what lives on may hold the other ends open for long
        process.stderr.close()

    def stage_record(self, stage):
        return json.loads(self.ws.stage_record(stage).read_text())

    def table(self):
        with (self.root / "shapes" / "pairs.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def write_table(self, rows):
        write_table(self.root / "shapes" / "pairs.csv", rows)

    def state(self):
        """All that a run could change, file by file, but for its logs and Prefect's own
        database.
        """
        kept = [
            self.root / "dvc.lock",
            self.ws.ledger,
            *self.ws.runs.rglob("*"),
            *(self.root / "data").rglob("*"),
        ]
        kept += (self.ws.state / "mlflow" / "artifacts").rglob("*")
        return {
            str(file.relative_to(self.root)): file.read_bytes() for file in kept if file.is_file()
        }


SHAPES_PARAMS = {
    "dataset": {"kind": "table", "path": "shapes", "split": {"test": 0.3}},
    "views": {
        "image": {"modality": "image", "encoder": "efficientnet-lite0", "batch_size": 4},
        "text": {"modality": "text", "encoder": "minilm-l6-v2", "batch_size": 4},
    },
    "evaluate": {"bootstrap": 100, "sheet_queries": 2},
    "model": {"name": "shapes"},
}


def make_shapes(folder):
    """64 pictures, one for each colour and shape, named in words."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for colour in COLOURS:
        for shape in SHAPES:
            name = f"images/{colour}-{shape}.png"
            draw_shape(colour, shape).save(folder / name)
            rows.append({"id": f"{colour}-{shape}", "image": name, "text": f"a {colour} {shape}"})
    write_table(folder / "pairs.csv", rows)


def draw_shape(colour, shape, size=96):
    image = Image.new("RGB", (size, size), "white")
    draw, box = ImageDraw.Draw(image), (20, 20, 76, 76)
    if shape in ("circle", "square"):
        (draw.ellipse if shape == "circle" else draw.rectangle)(box, fill=colour)
    elif shape == "ring":
        draw.ellipse(box, outline=colour, width=9)
    else:
        outlines = {
            "triangle": [(48, 16), (80, 78), (16, 78)],
            "cross": [
                (40, 16),
                (56, 16),
                (56, 40),
                (80, 40),
                (80, 56),
                (56, 56),
                (56, 80),
                (40, 80),
                (40, 56),
                (16, 56),
                (16, 40),
            ],
            "star": [
                (48, 10),
                (58, 38),
                (88, 38),
                (64, 56),
                (74, 86),
                (48, 68),
                (22, 86),
                (32, 56),
                (8, 38),
                (38, 38),
            ],
            "line": [(10, 44), (86, 44), (86, 52), (10, 52)],
            "arrow": [(10, 42), (56, 42), (56, 24), (88, 48), (56, 72), (56, 54), (10, 54)],
        }
        draw.polygon(outlines[shape], fill=colour)
    return image


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
