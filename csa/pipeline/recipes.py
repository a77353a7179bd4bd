"""Opening a workspace: the repository's own, or a private copy of the pipeline for a recipe."""

import shutil
from pathlib import Path

import yaml

from csa.datasets.exclude import EXCLUDE_FILE, Excluded, read_excluded, write_excluded
from csa.errors import InputError, ParamsError
from csa.params.reading import apply_overrides, load_yaml
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic

# What a workspace needs of the repository to run its stages. With the same code under the same
# names, the stages of a recipe and of the repository have the same keys in DVC's run cache, so a
# result is shared wherever it was computed.
_COPIED = ("dvc.yaml", ".dvcignore", "csa")


def open_workspace(
    recipe: Path | None, overrides: tuple[str, ...] = (), data: str | None = None
) -> Workspace:
    """The workspace to run: the repository without a recipe, else `.csa/workspaces/NAME` brought up
    to date with it.

    Args:
        recipe: a params file; its stem names the workspace.
        overrides: `section.key=value` laid over the recipe.
        data: the data set's folder or file, relative to the current folder.

    Raises:
        ParamsError: the recipe, an override or the repository's params.yaml is not valid. Nothing
            is changed then.
        InputError: overrides without a recipe.
    """
    repository = main_workspace()
    if recipe is None:
        if overrides or data:
            raise InputError(
                "--set and --data need a recipe; for the repository's own run, edit params.yaml"
            )
        repository.params()
        _check_sections(repository)
        repository.prepare_state()
        return repository
    mapping = load_yaml(recipe)
    if not isinstance(mapping, dict):
        raise ParamsError(
            f"{recipe}: expected sections such as dataset: and views:, got {type(mapping).__name__}"
        )
    mapping = apply_overrides(mapping, overrides)
    if data is not None:
        mapping.setdefault("dataset", {})["path"] = str(Path(data).resolve())
    params = Params.from_mapping(mapping, source=str(recipe))
    repository.prepare_state()
    ws = Workspace(repository.root / ".csa" / "workspaces" / recipe.stem, repository.state)
    _copy_pipeline(repository.root, ws.root)
    listed = read_excluded(recipe.with_suffix(f".{EXCLUDE_FILE}"))
    everywhere = read_excluded(repository.root / EXCLUDE_FILE).items
    write_excluded(ws.root / EXCLUDE_FILE, Excluded(listed.pairs, everywhere | listed.items))
    write_atomic(
        ws.params_file, yaml.safe_dump(params.dump(), sort_keys=False, allow_unicode=True).encode()
    )
    return ws


def existing_workspace(name: str) -> Workspace:
    """The workspace called `name`.

    Raises:
        InputError: no recipe of that name was run.
    """
    repository = main_workspace()
    if name == "main":
        return repository
    ws = Workspace(repository.state / "workspaces" / name, repository.state)
    if not ws.params_file.is_file():
        folder = repository.state / "workspaces"
        known = ", ".join(["main", *sorted(path.name for path in folder.glob("*"))])
        raise InputError(f"no workspace {name!r}; there are {known}; `csa run RECIPE` makes one")
    return ws


def main_workspace() -> Workspace:
    """The repository's own workspace, also from inside a recipe's."""
    ws = Workspace.find()
    return ws if ws.name == "main" else Workspace(ws.home, ws.state)


def _check_sections(repository: Workspace) -> None:
    """What stages depend on must be written out in params.yaml: DVC tracks the file, not our
    defaults.
    """
    needed = ("dataset", "views", "checks", "fit", "evaluate")
    missing = [name for name in needed if name not in load_yaml(repository.params_file)]
    if missing:
        raise ParamsError(
            f"{repository.params_file}: section {missing[0]!r} is missing; add it, or "
            f"`{missing[0]}: {{}}` for its defaults"
        )


def _copy_pipeline(source: Path, target: Path) -> None:
    """Bring a recipe's copy of the pipeline up to date; files that are the same keep their
    times, so DVC need not hash them.
    """
    wanted = {
        file.relative_to(source): file
        for name in _COPIED
        for file in (
            [source / name] if (source / name).is_file() else (source / name).rglob("*.py")
        )
    }
    for relative, file in wanted.items():
        copy = target / relative
        if not copy.is_file() or copy.read_bytes() != file.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
    for stale in (target / "csa").rglob("*.py"):
        if stale.relative_to(target) not in wanted:
            stale.unlink()
