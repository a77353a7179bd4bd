"""The choices that a fit begins with: the champion's, where only the data have changed.

They are written to `data/start.json` before a fit is computed, and dvc.lock keeps them with it. So
what a fit began with is known wherever dvc.lock is, and no fit is made anew because the champion
has changed.
"""

import sys
from collections.abc import Iterator
from typing import Any

import yaml

from csa.errors import ArtifactError, RegistryError
from csa.features.shards import fingerprint_of_features
from csa.operations.cache.lock import read_lock
from csa.operations.forgetting import forgotten
from csa.operations.ledger.champion import standing
from csa.operations.ledger.counted import counted
from csa.operations.ledger.team_ledger import meet_at
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.vouched import vouch
from csa.operations.runs.items import read_items
from csa.pipeline.start import Start
from csa.storage.files import read_json

STAGE = "fit"


def other_starts(project: Project) -> Iterator[Start | None]:
    """What else a fit could begin with than what is written: nothing, and then the champion's
    choices. The last is what it is to be computed from, if no cache has a fit from one of them.

    Args:
        project: whose fit is to be made.
    """
    yield None
    start = start_of_champion(project) if _only_data_changed(project) else None
    if start is not None:
        yield start


def _only_data_changed(project: Project) -> bool:
    """Whether the last fit had the same code and the same parameters, and these leave room."""
    fit = project.params.fit
    if fit.search != "auto" or not fit.searches or project.params.dataset.unpaired:
        return False
    ws = project.ws
    try:
        locked = read_lock(ws, lambda stages: stages[STAGE]["params"])
        named = yaml.safe_load(ws.params_file.read_text(encoding="utf-8"))
        declared = "start" in locked["data/start.json"]  # an older dvc.yaml does not name it
        code = locked["data/code.json"][STAGE] == read_json(ws.code)[STAGE]
        return bool(
            declared and code and _what_counts(locked["params.yaml"]) == _what_counts(named)
        )
    except (ArtifactError, KeyError, TypeError, AttributeError):
        return False


def _what_counts(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Parameters that other choices would be made under; where a search begins is none of them."""
    fit = params.get("fit") or {}
    return params.get("views"), {key: value for key, value in fit.items() if key != "search"}


def start_of_champion(project: Project) -> Start | None:
    """The champion's choices, if they may be begun with: whoever can write to the registry has to
    come past the ledger, as with everything else that a version brings.

    Args:
        project: whose champion.

    Returns:
        The choices; None if there is no champion, the ledger names another one, nobody vouches for
        it, it searched for nothing, its features are others, or it was fitted on items that are to
        be forgotten.
    """
    registry = project.registry
    try:
        champion = registry.champion()
        if champion is None:
            return None
        history = counted(project.ws, meet_at(registry, project.model).history)
        if standing(registry.versions(), history).ledger != champion.version:
            return None
        vouch(registry, champion)
        champion.mapping("records")["fit.json"]  # its hash; versions of before have none
        run_id, encoders = champion.tags["run_id"], champion.mapping("encoders")
        report = downloads.kept_fit_report(registry, run_id, champion)
        items = read_items(downloads.items_of(registry, champion))
    except (ArtifactError, KeyError):
        return None
    except RegistryError as error:
        print(f"note: {error}. The fit searches for its choices anew", file=sys.stderr)
        return None
    here = {view: fingerprint_of_features(project.ws.features(view)) for view in encoders}
    if report is None or encoders != here or forgotten.trained_on(project.ws, items):
        return None
    return Start.of_report(run_id, report)
