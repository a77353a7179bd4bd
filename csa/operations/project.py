"""`csa init`: a project of one's own, in an empty folder or in a git repository that exists.

What is there already is kept as it is: run twice, it changes nothing.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from csa.datasets.exclude import EXCLUDE_FILE, Excluded, write_excluded
from csa.datasets.recognise import Layout, recognise
from csa.encoders.registry import first_encoder
from csa.errors import InputError, WorkspaceError
from csa.operations.cache import settings
from csa.params.reading import load_yaml
from csa.params.schema import Params
from csa.params.views import with_encoders
from csa.pipeline.recipes import DEMO, DVC_IGNORED, find_recipe, stage_graph
from csa.pipeline.workspace import check_place
from csa.storage.files import what_is, write_atomic

_SECTIONS = ("dataset", "views", "fit", "evaluate", "checks", "gate", "model")
_COMMENT_WIDTH = 62

_README = """# {name}

A [Canonical Similarity Analysis](https://arxiv.org/abs/2410.07610) project: two frozen encoders as
one multimodal model.

- `csa plan` says what a run would do, `csa run` does it, `csa status` says what is out of date.
- `csa search "some words"` asks the model. `data/report.html` is the report of the last run.
- The settings are in `params.yaml`. Commit it with `dvc.lock`, `data/code.json` and
  `data/start.json` after a run: `git checkout` of that commit and `dvc checkout` bring back its
  features, model and metrics.
- `csa remote add team /a/shared/folder` shares what was computed with the team.
"""


@dataclass
class Made:
    """What `csa init` did.

    Attributes:
        root: the project's folder.
        written, kept: files that were made, and files that were there and stay as they are.
        recognised, unsure: of the data set, a sentence each.
    """

    root: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    recognised: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.__dict__, "root": str(self.root)}

    def __str__(self) -> str:
        lines = [f"project in {self.root}"]
        lines += [f"  data    {line}" for line in self.recognised]
        lines += [f"  unsure  {line}" for line in self.unsure]
        lines += [f"  wrote   {', '.join(self.written) or 'nothing: all was there'}"]
        lines += [f"  kept    {', '.join(self.kept)}"] if self.kept else []
        lines += ["Next: look through params.yaml, then csa plan, then csa run"]
        return "\n".join(lines)


def make_project(
    root: Path, data: Path | None = None, recipe: Path | None = None, git: bool = True
) -> Made:
    """Make a project, or complete one that is there in part.

    Args:
        root: its folder, made if it does not exist.
        data: the data set, a folder or one table; its layout is recognised. Without one, and
            without a recipe, the project starts with the built-in data set.
        recipe: a params file to start from, or the name of one that comes with the package.
        git: make a git repository where the folder lies in none.

    Returns:
        What was written, and what was recognised.

    Raises:
        InputError: no layout fits the data; the nearest are named, with what they lack.
        DataError: there is no such data set.
        ParamsError: the recipe is not valid.
        WorkspaceError: git or DVC failed, or the folder's name holds a `?`.
    """
    root = root.expanduser().resolve()
    found = what_is(root)
    if found not in ("a folder", "nothing"):
        raise InputError(f"{root}: {found}; give the folder that the project shall lie in")
    check_place(root)
    made = Made(root)
    mapping = None  # what params.yaml shall hold; decided before anything is written
    if not (root / "params.yaml").exists():
        mapping = _parameters(root, data, recipe, made)
    root.mkdir(parents=True, exist_ok=True)
    top = _git_top(root)
    if top is None and git and shutil.which("git"):
        _init_git(root)
        made.written.append(".git")
        top = root
    home = _dvc_home(root, top, made)
    if mapping is not None:
        _write(made, "params.yaml", commented(mapping))
    path = (mapping or load_yaml(root / "params.yaml")).get("dataset", {}).get("path", DEMO)
    _write(made, "dvc.yaml", stage_graph(path == DEMO))
    if (root / EXCLUDE_FILE).exists():
        made.kept.append(EXCLUDE_FILE)
    else:
        write_excluded(root / EXCLUDE_FILE, Excluded())
        made.written.append(EXCLUDE_FILE)
    _write(made, "README.md", _README.format(name=root.name))
    _add_lines(made, home / ".gitignore", [".csa/"])
    _add_lines(made, home / ".dvcignore", DVC_IGNORED.split())
    _add_lines(made, root / "data" / ".gitignore", list(_outputs()))
    return made


def _parameters(root: Path, data: Path | None, recipe: Path | None, made: Made) -> dict[str, Any]:
    """What params.yaml shall hold."""
    mapping: dict[str, Any] = load_yaml(find_recipe(recipe)) if recipe else {}
    if recipe:
        Params.from_mapping(mapping, source=str(recipe))
        made.recognised.append(f"parameters of the recipe {recipe.stem}")
    if data is not None and recipe is None:
        layout = _layout(data)
        made.recognised += [f"read as dataset.kind {layout.kind}", *layout.recognised]
        made.unsure += layout.unsure
        views = {
            name: {"modality": modality, "encoder": first_encoder(modality)}
            for name, modality in layout.views.items()
        }
        mapping = {"dataset": dict(layout.dataset), "views": views}
    if data is not None:
        mapping.setdefault("dataset", {})["path"] = _as_seen_from(root, data)
    if data is None and recipe is None:
        mapping = {"dataset": {"path": DEMO, "table": "pairs.csv", "language": "en"}}
        made.recognised.append("no data was named, so it starts with the built-in emoji; --data")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-._") or "model"
    mapping.setdefault("model", {}).setdefault("name", name)
    resolved = Params.from_mapping(mapping, source="csa init")
    return _shown(mapping, resolved)


def _layout(data: Path) -> Layout:
    layouts = recognise(data)
    if layouts[0].fits:
        return layouts[0]
    nearest = "; ".join(f"{one.kind} needs {', '.join(one.missing)}" for one in layouts)
    seen = "; ".join(dict.fromkeys(found for one in layouts for found in one.recognised))
    raise InputError(
        f"{data}: the layout was not recognised (seen: {seen or 'nothing that a reader knows'}); "
        f"the nearest: {nearest}. docs/datasets.md has every layout, and "
        f"docs/how-to/photos-without-captions.md says how to search items without texts"
    )


def _shown(mapping: dict[str, Any], resolved: Params) -> dict[str, Any]:
    """What was asked for, and the defaults that people change most."""
    full = resolved.dump()
    dataset = {"kind": full["dataset"]["kind"], **mapping.get("dataset", {})}
    dataset.setdefault("split", full["dataset"]["split"])
    views = {
        name: _view_shown(view, given)
        for (name, view), given in zip(
            full["views"].items(), (mapping.get("views") or full["views"]).values(), strict=True
        )
    }
    if not mapping.get("views"):
        keys = ("modality", "encoder", "batch_size")
        views = {name: {k: view[k] for k in keys} for name, view in full["views"].items()}
    shown = {"dataset": dataset, "views": views}
    for section in ("fit", "evaluate", "gate"):
        plain = {
            key: value for key, value in full[section].items() if not isinstance(value, dict | list)
        }
        shown[section] = plain | mapping.get(section, {})
    shown["checks"] = mapping.get("checks", {})
    rest = {key: value for key, value in mapping.items() if key not in shown}
    return {**{key: shown[key] for key in _SECTIONS if key in shown}, **rest}


def _view_shown(view: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A view as it was asked for, in today's spelling, with the batch size of a single encoder."""
    if "encoders" in view:
        return {"modality": None} | with_encoders(given)
    return {"modality": None, "encoder": None, "batch_size": view["batch_size"]} | given


def commented(mapping: dict[str, Any]) -> str:
    """Parameters as YAML in which every line has a comment, taken from the schema.

    Args:
        mapping: sections of params.yaml.
    """
    lines = ["# The parameters of this project. Every key there is: docs/parameters.md.", ""]
    for section, value in mapping.items():
        lines += [*_lines(section, value, Params, 0), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(key: str, value: Any, schema: type[BaseModel], depth: int) -> Iterator[str]:
    known = schema.model_fields.get(key)
    below = _section_of(known)
    indent = "  " * depth
    if isinstance(value, dict) and value and depth < 3 and below is not None:
        yield _with_comment(f"{indent}{key}:", _words(known, below))
        of_names = known is not None and "dict[" in str(known.annotation)
        for name, inner in value.items():
            if of_names and isinstance(inner, dict):
                yield _with_comment(f"{indent}  {name}:", _first_sentence(below.__doc__ or ""))
                for one, last in inner.items():
                    yield from _lines(one, last, below, depth + 2)
            else:
                yield from _lines(name, inner, below, depth + 1)
        return
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    text = text.strip().removesuffix("...").strip()
    yield _with_comment(f"{indent}{key}: {text}", _words(known, below))


def _section_of(known: FieldInfo | None) -> type[BaseModel] | None:
    """The section that a field holds, or holds by name."""
    if known is None:
        return None
    rest = [known.annotation]
    while rest:
        one: Any = rest.pop()
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
        rest += getattr(one, "__args__", ())
    return None


def _words(known: FieldInfo | None, below: type[BaseModel] | None) -> str:
    text = (known.description if known else None) or (below.__doc__ if below else None) or ""
    return _first_sentence(text)


def _first_sentence(text: str) -> str:
    """The first thing that a description says, short enough for a line."""
    flat = " ".join(text.split())
    flat = re.split(r"(?<=[^.])\. |; ", flat)[0].rstrip(".;:,")
    if len(flat) <= _COMMENT_WIDTH:
        return flat
    ends = [match.start() for match in re.finditer(r", |: | \(", flat[:_COMMENT_WIDTH])]
    if ends and ends[-1] > _COMMENT_WIDTH // 4:
        return flat[: ends[-1]]
    return flat[:_COMMENT_WIDTH].rpartition(" ")[0] + " …"


def _with_comment(line: str, words: str) -> str:
    return f"{line:<34}  # {words}" if words else line


def _as_seen_from(root: Path, data: Path) -> str:
    """The data's path: relative where it lies in the project, so that a clone finds it."""
    there = data.expanduser().resolve()
    return there.relative_to(root).as_posix() if there.is_relative_to(root) else str(there)


def _outputs() -> Iterator[str]:
    """What the stages and a run write below data/, as lines of its .gitignore."""
    names = re.findall(r"^\s+- data/(?:([\w.]+))", stage_graph(with_demo=True), re.MULTILINE)
    for name in dict.fromkeys([*names, "report", "report.html", "suspects"]):
        if name not in ("code.json", "start.json"):  # they go into git beside dvc.lock
            yield f"/{name}"


def _write(made: Made, name: str, text: str) -> None:
    path = made.root / name
    if path.exists():
        made.kept.append(name)
        return
    write_atomic(path, text.encode())
    made.written.append(name)


def _add_lines(made: Made, path: Path, lines: list[str]) -> None:
    """Add what a file of patterns lacks; what it has stays."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in lines if line not in text.splitlines()]
    if missing:
        break_ = "" if not text or text.endswith("\n") else "\n"
        write_atomic(path, (text + break_ + "\n".join(missing) + "\n").encode())
        inside = path.is_relative_to(made.root)
        made.written.append(str(path.relative_to(made.root)) if inside else str(path))


def _git_top(folder: Path) -> Path | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--show-toplevel"],
        capture_output=True,
        text=True,
        check=False,
    )
    return Path(done.stdout.rstrip("\n")) if done.returncode == 0 else None


def _dvc_home(root: Path, top: Path | None, made: Made) -> Path:
    """The folder with `.dvc`: one above that is there, else made at the top of the git repository,
    so that several projects of one repository share what they compute."""
    last = top or root
    for folder in (root, *root.parents):
        if (folder / ".dvc").is_dir():
            return folder
        if folder == last:
            break
    settings.make_repo(last, git=top is not None)
    made.written.append(".dvc" if last == root else str(last / ".dvc"))
    return last


def _init_git(folder: Path) -> None:
    command = ["git", "init", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise WorkspaceError(f"{folder}: `git init` failed: {said}")
