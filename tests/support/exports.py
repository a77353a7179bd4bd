"""What tests of exports share: a workspace of tiny encoders, and a process without this package."""

import json
import os
import subprocess
import sys

import tiny_models
from small_repo import SHAPES_PARAMS, make_shapes
from workspaces import bare_workspace, run_stages


def tiny_workspace(folder, fit):
    """The shapes through a tiny ViT and a tiny BERT, fitted as asked; all stages have run."""
    tiny_models.vit(folder / "vit")
    tiny_models.bert(folder / "bert")
    views = {
        "image": {"modality": "image", "encoder": str(folder / "vit"), "batch_size": 8},
        "text": {"modality": "text", "encoder": str(folder / "bert"), "batch_size": 8},
    }
    made = bare_workspace(folder / "repo", SHAPES_PARAMS | {"views": views, "fit": fit})
    make_shapes(made.root / "shapes")
    run_stages(made)
    return made


def told_alone(code, ws, folder, again, pairs):
    """What code prints as JSON in a process without this package, which gets an exported folder,
    another to save it to, and pictures and texts of pairs.
    """
    pictures = [str(ws.root / "shapes" / name) for name in pairs["image"]]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", code, folder, again],
        input=json.dumps([pictures, pairs["text"].to_list()]),
        cwd=again.parent,
        env=kept | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
