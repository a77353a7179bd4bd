"""The choices that a fit begins with: the champion's, where only the data have changed.

They are written to `data/start.json` before a fit is computed, and dvc.lock keeps them with it. So
what a fit began with is known wherever dvc.lock is, and no fit is made anew because the champion
has changed. Why there were none is said beside the run, and stands in no file that DVC compares: it
depends on the registry, and a fit must not.
"""

from typing import Any

import yaml

from csa.core.alignment import load
from csa.errors import ArtifactError, RegistryError
from csa.features.shards import fingerprint_of_features
from csa.operations.cache.lock import read_lock
from csa.operations.forgetting import forgotten
from csa.operations.ledger.champion import standing
from csa.operations.ledger.counted import counted
from csa.operations.ledger.team_ledger import meet_at
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.versions import Version
from csa.operations.registry.vouched import vouch
from csa.operations.runs.items import read_items
from csa.pipeline.start import Start
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json

STAGE = "fit"


class NoStartError(Exception):
    """A fit begins with nothing; the message is the reason, a clause for people."""


def start_of_fit(project: Project) -> Start | None:
    """What a fit is to be computed from, if no cache has it: the champion's choices, where only
    the data have changed since the last fit.

    Args:
        project: whose fit is to be made.

    Returns:
        The choices; None where nobody expects any: the parameters ask for a search or for fixed
        choices, which fit.json says, or dvc.lock names no earlier fit of the workspace.

    Raises:
        NoStartError: there are none to begin with.
    """
    fit = project.params.fit
    if fit.search != "auto" or not fit.searches or project.params.dataset.unpaired:
        return None
    try:
        last = read_lock(project.ws, lambda stages: stages[STAGE]["params"])
    except ArtifactError:
        return None
    _check_that_only_data_changed(project.ws, last)
    return start_of_champion(project)


def _check_that_only_data_changed(ws: Workspace, locked: dict[str, Any]) -> None:
    """Refuse a start where the last fit, as dvc.lock has it, had other code or parameters."""
    try:
        named = yaml.safe_load(ws.params_file.read_text(encoding="utf-8"))
        code = locked["data/code.json"][STAGE] == read_json(ws.code)[STAGE]
        same = _what_counts(locked["params.yaml"]) == _what_counts(named)
        declared = "data/start.json" in locked
    except (ArtifactError, KeyError, TypeError, AttributeError):
        raise NoStartError("what dvc.lock says of the last fit cannot be compared") from None
    if not declared:
        raise NoStartError("the dvc.yaml of the last fit did not name data/start.json")
    if not code:
        raise NoStartError("the code of stage fit has changed since the last fit")
    if not same:
        raise NoStartError("section `views` or `fit` of params.yaml has changed since the last fit")


def _what_counts(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Parameters that other choices would be made under; where a search begins is none of them."""
    fit = params.get("fit") or {}
    return params.get("views"), {key: value for key, value in fit.items() if key != "search"}


def start_of_champion(project: Project) -> Start:
    """The champion's choices, if they may be begun with: whoever can write to the registry has to
    come past the ledger, as with everything else that a version brings.

    Args:
        project: whose champion.

    Returns:
        The choices.

    Raises:
        NoStartError: there is no champion, the ledger names another one, nobody vouches for it, it
            searched for nothing, its features are others, it was fitted on items that are to be
            forgotten, or the registry does not answer.
    """
    try:
        return _start_of(project, _champion(project))
    except KeyError as error:
        raise NoStartError(
            f"the champion was registered without {error}, by an older csa"
        ) from None
    except (ArtifactError, RegistryError) as error:
        raise NoStartError(str(error)) from None


def _champion(project: Project) -> Version:
    """The champion that the ledger names."""
    registry = project.registry
    champion = registry.champion()
    if champion is None:
        raise NoStartError(f"{project.model} has no champion yet")
    history = counted(project.ws, meet_at(registry, project.model).history)
    named = standing(registry.versions(), history).ledger
    if named != champion.version:
        raise NoStartError(
            f"the registry's champion is version {champion.version}, and by the ledger it is "
            + (f"version {named}" if named else "no version")
        )
    vouch(registry, champion)
    return champion


def _start_of(project: Project, champion: Version) -> Start:
    """The choices of a champion that is vouched for."""
    registry = project.registry
    champion.mapping("records")["fit.json"]  # its hash; versions of before have none
    run_id, encoders = champion.tags["run_id"], champion.mapping("encoders")
    here = {view: fingerprint_of_features(project.ws.features(view)) for view in encoders}
    if encoders != here:
        raise NoStartError(
            f"the features of the champion, {_name(champion)}, are of other encoders"
        )
    if forgotten.trained_on(project.ws, read_items(downloads.items_of(registry, champion))):
        raise NoStartError(f"{_name(champion)} was fitted on items that are to be forgotten")
    report = downloads.kept_fit_report(registry, run_id, champion)
    choices = load(downloads.alignment_file(registry, champion)).choices()
    start = None if report is None else Start.of_fit(run_id, report, choices)
    if start is None:
        raise NoStartError(f"{_name(champion)} was not fitted on pairs alone with a search")
    return start


def _name(champion: Version) -> str:
    return f"{champion.model} version {champion.version}"
