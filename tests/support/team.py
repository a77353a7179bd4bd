"""An owner who shares a small project of real pictures and texts, teammates with clones of it, and
somebody who can write to the place they share through.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import warm
import yaml
from small_repo import SmallRepo, draw_shape

from csa.operations.cache import dvc, sharing
from csa.operations.opened import Project
from csa.operations.trust.trusted import FILE
from csa.pipeline.recipes import stage_graph
from csa.pipeline.workspace import Workspace

PARAMS = {
    "dataset": {"kind": "table", "path": "shapes", "split": {"test": 0.3}},
    "views": {
        "image": {"modality": "image", "encoder": "efficientnet-lite0", "batch_size": 4},
        "text": {"modality": "text", "encoder": "minilm-l6-v2", "batch_size": 4},
    },
    "fit": {"folds": 3},
    "evaluate": {"bootstrap": 100, "sheet_queries": 2},
    "tasks": {
        "colours": {"kind": "transfer", "dataset": {"kind": "imagefolder", "path": "colours"}}
    },
    "model": {"name": "shapes"},
}
STAGES = ("demo", "ingest", "embed@image", "embed@text", "check", "fit", "evaluate", "task@colours")


class Team:
    """The owner's clone, where everything was run, and the shared folder it was pushed to."""

    def __init__(self, root):
        self.root, self.store = root, root / "store"
        self.owner = SmallRepo(root / "owner", PARAMS)
        (self.owner.root / "dvc.yaml").write_text(stage_graph(with_demo=True))
        for colour in ("red", "green", "blue"):
            for shape in ("circle", "cross"):
                file = self.owner.root / "colours" / colour / f"{shape}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                draw_shape(colour, shape, size=64).save(file)
        self._git("add", "-A")
        self._git("commit", "-qm", "data")
        share_through(self.owner.root, self.store)
        dvc.ensure_repo(self.owner.ws)
        with warm.processes():
            dvc.ask(self.owner.ws, "repro")
        assert sharing.push(self.owner.ws).shared

    def _git(self, *arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, "-C", str(self.owner.root), *arguments], check=True)

    def store_copy(self, folder):
        """The shared folder, for somebody to change."""
        return Store(shutil.copytree(self.store, folder))

    def teammate(self, folder, store, upto=None, lock=False):
        """A clone that shares through `store`; the outputs of the stages before `upto` are there
        already.
        """
        subprocess.run(["git", "clone", "-q", self.owner.root, folder], check=True)
        ws = Workspace(folder, folder / ".csa")
        share_through(folder, store)
        before = STAGES[: STAGES.index(upto)] if upto else ()
        locked = yaml.safe_load((self.owner.root / "dvc.lock").read_text())
        for stage in before:
            for out in locked["stages"][stage]["outs"]:
                source, target = self.owner.root / out["path"], folder / out["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if source.is_dir() else shutil.copy
                copy(source, target)
        kept = {name: locked["stages"][name] for name in (STAGES if lock else before)}
        if kept:
            (folder / "dvc.lock").write_text(yaml.safe_dump(locked | {"stages": kept}))
        dvc.ensure_repo(ws)
        return ws

    def outputs(self, stage):
        """The bytes of a stage's outputs, as the owner has them."""
        return outputs(self.owner.ws, stage)


def share_through(root, store):
    """What `csa remote add team STORE --local` writes."""
    (root / ".dvc" / "config.local").write_text(
        f"[core]\n    remote = team\n['remote \"team\"']\n    url = {store}\n"
    )


def trust(root, key, may="compute", **bounds):
    """Let a project trust a key, and no other, for one thing."""
    lines = [f"{name} = {value}\n" for name, value in bounds.items()]
    text = f'[[key]]\nname = "ada"\npublic_key = "{key.public} ada"\nmay = ["{may}"]\n'
    (root / FILE).write_text(text + "".join(lines))


def run(ws, stages=STAGES):
    """Bring stages up to date, in order: stage -> status."""
    dvc.ensure_repo(ws)
    return {stage: sharing.bring_up_to_date(Project(ws), stage).status for stage in stages}


def outputs(ws, stage):
    """File -> bytes of a stage's outputs."""
    outs = yaml.safe_load((ws.root / "dvc.lock").read_text())["stages"][stage]["outs"]
    files = (file for out in outs for file in files_in(ws.root / out["path"]))
    return {str(file.relative_to(ws.root)): file.read_bytes() for file in files}


def files_in(path):
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def tree(root):
    """Every file below a folder with its bytes, less what DVC and csa keep for themselves."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and not {".csa", "tmp", "cache", "__pycache__"} & set(file.parts)
    }


class Store:
    """A shared folder in DVC's layout, in the hands of somebody who can write to it."""

    def __init__(self, root):
        self.root = Path(root)

    def entry(self, out):
        """The file and the content of the run cache's entry that has an output."""
        for file in sorted((self.root / "runs").rglob("*")):
            if file.is_file():
                entry = yaml.safe_load(file.read_text())
                if any(one["path"] == out for one in entry["outs"]):
                    return file, entry
        raise AssertionError(f"no entry has {out}")

    def read(self, oid):
        return (self.root / "files" / "md5" / oid[:2] / oid[2:]).read_bytes()

    def put(self, content, directory=False):
        """An object of these bytes; returns its name."""
        oid = hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir" * directory
        file = self.root / "files" / "md5" / oid[:2] / oid[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_bytes(content)
        return oid

    def overwrite(self, oid, content):
        """Put other bytes under an object's name."""
        file = self.root / "files" / "md5" / oid[:2] / oid[2:]
        file.chmod(0o644)
        file.write_bytes(content)

    def listing(self, oid):
        return json.loads(self.read(oid))

    def put_listing(self, entries):
        return self.put(json.dumps(entries, sort_keys=True).encode(), directory=True)

    def swap(self, out, oid):
        """Let the run cache say that an output is this object."""
        file, entry = self.entry(out)
        for one in entry["outs"]:
            if one["path"] == out:
                one["md5"] = oid
        self.write_entry(file, entry)

    def write_entry(self, file, entry):
        """Put an entry in the place of another, under a name of its own."""
        text = yaml.safe_dump(entry, sort_keys=False)
        file.chmod(0o644)
        file.unlink()
        file.with_name(hashlib.sha256(text.encode()).hexdigest()).write_text(text)
