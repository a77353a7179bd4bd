"""Opening a workspace: the project's own, or one that is made for a recipe."""

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from csa.datasets.exclude import EXCLUDE_FILE, Excluded, read_excluded, write_excluded
from csa.errors import InputError, ParamsError, WorkspaceError
from csa.params.reading import apply_overrides, lay_over, load_yaml
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.files import what_is, write_atomic

DVC_IGNORED = "__pycache__\n*.tmp\n.csa\n"
"""Content of `.dvcignore`."""

DEMO = "data/openmoji"
"""`dataset.path` of the built-in data set, which a stage makes."""

MAIN = "main"
"""The name of the project's own workspace."""

_NEEDED = ("dataset", "views", "checks", "fit", "evaluate")  # sections that stages depend on
_PACKAGED = Path(__file__).parents[1] / "recipes"


def stage_graph(with_demo: bool) -> str:
    """The text of dvc.yaml: the same stages everywhere, so that a result is shared wherever it was
    computed.

    Args:
        with_demo: whether the stage that renders the built-in data set belongs to it.
    """
    text = Path(__file__).with_name("graph.yaml").read_text(encoding="utf-8")
    return text if with_demo else re.sub(r"  demo:\n(?:    .*\n)+\n", "", text)


def find_recipe(recipe: Path) -> Path:
    """A params file, or the recipe of that name that comes with the package.

    Args:
        recipe: a path, or a name such as `flickr8k`.

    Raises:
        InputError: neither is there.
    """
    if what_is(recipe) == "a file" or recipe.suffix or len(recipe.parts) > 1:
        return recipe
    packaged = _PACKAGED / f"{recipe}.yaml"
    if what_is(packaged) == "a file":
        return packaged
    names = packaged_recipes()
    near = difflib.get_close_matches(str(recipe), names, n=1)
    raise InputError(
        f"{recipe}: no such file, and no recipe of that name"
        + (f"; did you mean {near[0]}?" if near else f"; the recipes are {', '.join(names)}")
    )


def packaged_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in _PACKAGED.glob("*.yaml"))


def open_workspace(
    recipe: Path | None, overrides: tuple[str, ...] = (), data: str | None = None
) -> Workspace:
    """The workspace to run: the project's own without a recipe, else `.csa/workspaces/NAME` brought
    up to date with it. Outside any project a recipe works below the current folder.

    Args:
        recipe: a params file; its stem names the workspace.
        overrides: `section.key=value` laid over the recipe.
        data: the data set's folder or file, relative to the current folder.

    Returns:
        The workspace; its folder and its parameters are written where a recipe is given.

    Raises:
        ParamsError: the recipe, an override or the project's params.yaml is not valid. Nothing is
            changed then.
        InputError: overrides without a recipe, or no such recipe.
        WorkspaceError: no recipe, and no project here or above.
    """
    if recipe is None:
        Workspace.find()  # a recipe's workspace alone is no project
        repository = main_workspace()
        if overrides or data:
            raise InputError(
                "--set and --data need a recipe; for the project's own run, edit params.yaml"
            )
        repository.params()
        _check_sections(repository)
        repository.prepare_state()
        return repository
    recipe = find_recipe(recipe)
    _check_name(recipe)
    mapping = load_yaml(recipe)
    if not isinstance(mapping, dict):
        raise ParamsError(
            f"{recipe}: expected sections such as dataset: and views:, got {type(mapping).__name__}"
        )
    mapping = apply_overrides(mapping, overrides)
    if data is not None:
        mapping = lay_over(mapping, "dataset.path", str(Path(data).resolve()), str(recipe))
    params = Params.from_mapping(mapping, source=str(recipe))
    try:
        repository = main_workspace()
    except WorkspaceError:
        repository = _without_project(Path.cwd())
    repository.prepare_state()
    ws = Workspace(repository.home / ".csa" / "workspaces" / recipe.stem, repository.state)
    write_if_changed(ws.root / "dvc.yaml", stage_graph(params.dataset.path == DEMO))
    write_if_changed(ws.root / ".dvcignore", DVC_IGNORED)
    listed = read_excluded(recipe.with_suffix(f".{EXCLUDE_FILE}"))
    everywhere = read_excluded(repository.root / EXCLUDE_FILE).items
    write_excluded(ws.root / EXCLUDE_FILE, Excluded(listed.pairs, everywhere | listed.items))
    text = yaml.safe_dump(_as_given(mapping, params), sort_keys=False, allow_unicode=True)
    write_atomic(ws.params_file, text.encode())
    return ws


def _check_name(recipe: Path) -> None:
    """Refuse a recipe whose name cannot be a workspace's."""
    if recipe.stem == MAIN or recipe.name.startswith("."):
        raise InputError(
            f"{recipe}: its workspace would be called {recipe.stem!r}, which "
            + (
                "is the project's own"
                if recipe.stem == MAIN
                else "cannot be the name of a folder here"
            )
            + "; rename the recipe"
        )


def existing_workspace(name: str) -> Workspace:
    """The workspace called `name`.

    Raises:
        InputError: no recipe of that name was run, or there are recipes' workspaces and no project.
    """
    repository = main_workspace()
    folder = repository.state / "workspaces"
    if name == MAIN:
        if what_is(repository.root / "dvc.yaml") == "nothing":
            known = ", ".join(sorted(path.name for path in folder.glob("*")))
            raise InputError(
                f"{repository.root}: there is no project here, only workspaces of recipes "
                f"({known}); name one with -w, or make a project with `csa init`"
            )
        return repository
    if name != Path(name).name or name.startswith("."):
        raise InputError(f"no workspace {name[:80]!r}; a name is one word, such as {MAIN}")
    ws = Workspace(repository.state / "workspaces" / name, repository.state)
    if what_is(ws.params_file) != "a file":
        known = ", ".join([MAIN, *sorted(path.name for path in folder.glob("*"))])
        raise InputError(
            f"no workspace {name[:80]!r}; there are {known}; `csa run RECIPE` makes one"
        )
    return ws


def main_workspace() -> Workspace:
    """The project's own workspace, also from inside a recipe's; outside any project, the folder
    that recipes were run in.

    Raises:
        WorkspaceError: there is neither here or above.
    """
    try:
        ws = Workspace.find()
    except WorkspaceError:
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / ".csa" / "workspaces").is_dir():
                return _without_project(folder)
        raise
    return Workspace(ws.home, ws.state) if ws.is_recipe else ws


def _without_project(folder: Path) -> Workspace:
    return Workspace(folder, folder / ".csa")


def _as_given(mapping: dict[str, Any], params: Params) -> dict[str, Any]:
    """What a recipe's params.yaml holds: what was given, in its words, so that its stages have the
    keys in DVC's run cache that a project with the same words has; and what DVC needs besides.
    """
    resolved = params.dump()
    written = {name: mapping.get(name, resolved[name]) for name in _NEEDED} | mapping
    of_tasks = ((task, resolved["tasks"][name]) for name, task in mapping.get("tasks", {}).items())
    for one, whole in ((written, resolved), *of_tasks):
        one["dataset"] = {"path": whole["dataset"]["path"]} | one["dataset"]
    return written


def _check_sections(project: Workspace) -> None:
    """What stages depend on must be written out in params.yaml: DVC tracks the file, not our
    defaults.
    """
    given = load_yaml(project.params_file)
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        raise ParamsError(
            f"{project.params_file}: section {missing[0]!r} is missing; add it, or "
            f"`{missing[0]}: {{}}` for its defaults"
        )


def write_if_changed(path: Path, text: str) -> None:
    """Write a file unless it holds this text already: DVC need not hash it again then.

    Args:
        path: the file.
        text: what it shall hold.
    """
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text.encode())
