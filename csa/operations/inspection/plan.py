"""What a run would do: which stages, how many items, about how long. At most one trial batch is
computed; nothing is written.
"""

import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from csa.datasets.ingest import ingest
from csa.datasets.items import item_loader
from csa.datasets.openmoji import load_emojis
from csa.datasets.pairs_table import read_pairs
from csa.datasets.roots import dataset_root
from csa.datasets.told import account_lines
from csa.datasets.unpaired import read_unpaired
from csa.encoders.base import Encoder, batches
from csa.encoders.models import find_model, is_elsewhere
from csa.encoders.registry import BUILTIN, load_encoder
from csa.encoders.several import ViewEncoder
from csa.errors import CSAError, EncoderError, InputError
from csa.evaluation.contenders import tower_views
from csa.features.cache import FeatureCache
from csa.operations.cache import dvc
from csa.operations.inspection import estimates
from csa.operations.opened import Project
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.pipeline.recipes import DEMO
from csa.storage.files import read_json


@dataclass(frozen=True)
class ViewPlan:
    """One view: how many items there are, how many the cache holds, and how long the rest takes
    (None: unknown).

    `basis` says what the numbers rest on where they were neither counted nor timed here; `device`
    is where the rest is encoded, as torch calls it, None where that was not looked at.
    """

    view: str
    encoder: str
    items: int
    cached: int
    seconds: float | None
    basis: str = ""
    device: str | None = None

    @property
    def missing(self) -> int:
        """Items to be encoded."""
        return self.items - self.cached


@dataclass(frozen=True)
class Plan:
    """What `csa run` would do in one workspace.

    Attributes:
        workspace: its name.
        stages: stage -> `up to date`, `out of date` or `follows` (runs if what it reads changes).
        views: what embedding would compute, an entry for each encoder of a view; empty if the
            data set cannot be read.
        last_seconds: how long the other stages took when they last ran here.
        problems: what stands in the way, one line each.
        data: the account of the data set (docs/artifacts.md, account.json); empty if it cannot
            be read.
    """

    workspace: str
    stages: dict[str, str]
    views: list[ViewPlan]
    last_seconds: dict[str, float]
    problems: list[str]
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self),
            "views": [{**asdict(view), "missing": view.missing} for view in self.views],
        }

    def __str__(self) -> str:
        lines = [f"workspace {self.workspace}"]
        lines += [f"  {stage:<13} {state}" for stage, state in self.stages.items()]
        lines += account_lines(self.data)
        for view in self.views:
            time_left = "" if not view.missing else f", about {_duration(view.seconds)}"
            basis = f" ({view.basis})" if view.basis else ""
            on = f" on {view.device}" if view.device else ""
            lines.append(
                f"  {view.view}: {view.items:,} items, {view.cached:,} in the cache, "
                f"{view.missing:,} to encode "
                f"with {view.encoder}{on}{time_left}{basis}"
            )
        running = [stage for stage, state in self.stages.items() if state != "up to date"]
        if not running:
            lines.append("nothing to do: all up to date")
        known = {stage: self.last_seconds[stage] for stage in running if stage in self.last_seconds}
        if known:
            lines.append(
                "  last time: "
                + ", ".join(f"{stage} {_duration(seconds)}" for stage, seconds in known.items())
            )
        lines += [f"missing: {problem}" for problem in self.problems]
        return "\n".join(lines)


def make_plan(project: Project, sheet: Path | None = None) -> Plan:
    """Look at the data set, the cache and the pipeline's state.

    Args:
        project: what would run.
        sheet: where twelve pairs are drawn as they will be fitted (PNG); None: nowhere.

    Returns:
        The plan.

    Raises:
        WorkspaceError: DVC cannot read the pipeline.
    """
    ws = project.ws
    dvc.ensure_repo(ws)
    names = dvc.stages(ws)
    stale = dvc.status(ws)
    first = next((i for i, name in enumerate(names) if name in stale), len(names))
    stages = {
        name: "out of date" if name in stale else "follows" if i > first else "up to date"
        for i, name in enumerate(names)
    }
    problems: list[str] = []
    views: list[ViewPlan] = []
    items: dict[str, list[tuple[str, str]]] = {}
    account: dict[str, Any] = {}
    try:
        is_current = stages["ingest"] == "up to date"
        items, account = _look_at_data(project, is_current, sheet)
    except CSAError as error:
        problems.append(" ".join(str(error).split()))
    for name, task in project.params.tasks.items():
        if not (ws.root / task.dataset.path).exists():
            problems.append(
                f"{ws.root / task.dataset.path}: no such data set; correct "
                f"tasks.{name}.dataset.path"
            )
    problems += _missing_towers(project.params)
    for view, settings in project.params.views.items():
        found, missing = _encoders_at_hand(view, settings, project.params.compute.device)
        problems += missing
        try:
            planned = (
                _plan_view(project, view, ViewEncoder(found), items[view])
                if view in items and not missing
                else None
            )
        except CSAError as error:
            problems.append(" ".join(str(error).split()))
            planned = None
        views += planned or [
            guess
            for part in settings.parts
            for guess in _guess_view(project, view, part, items.get(view))
        ]
        if view in project.params.dataset.unpaired and not missing:
            try:
                views += _plan_pool(project, view, ViewEncoder(found))
            except CSAError as error:
                problems.append(" ".join(str(error).split()))
    records = {
        name: ws.stage_record(name)
        for name in names
        if not name.startswith(("embed@", "unpaired@"))
    }
    last = {
        name: float(read_json(path)["seconds"]) for name, path in records.items() if path.is_file()
    }
    return Plan(ws.name, stages, views, last, problems, account)


def _encoders_at_hand(
    view: str, settings: ViewParams, device: str
) -> tuple[list[Encoder], list[str]]:
    """The encoders of a view that are on this machine, and why others are not."""
    found, problems = [], []
    for part in settings.parts:
        try:
            if is_elsewhere(part):  # a plan downloads nothing
                raise EncoderError(
                    f"model {part.encoder} (view {view}) is not on this machine; the first run "
                    f"downloads it"
                )
            found.append(load_encoder(part, device))
        except CSAError as error:
            problems.append(" ".join(str(error).split()))
    return found, problems


def _missing_towers(params: Params) -> list[str]:
    """What stands in the way of the models of two towers, which `evaluate` and every task
    measure beside CSA.
    """
    problems, stages = [], " and ".join(["evaluate", *(f"task@{name}" for name in params.tasks)])
    for label, model in params.evaluate.multimodal.items():
        where = f"evaluate.multimodal.{label}, of {stages}"
        try:
            view = next(iter(tower_views(model, params.views, label).values()))
            if is_elsewhere(view):
                raise EncoderError(
                    f"model {model.encoder} is not on this machine; the first run downloads it"
                )
            # not loaded: two towers of billions of weights would take minutes
            find_model(view, sorted(BUILTIN))
        except CSAError as error:
            problems.append(f"{' '.join(str(error).split())} ({where})")
    return problems


def _look_at_data(
    project: Project, pairs_are_current: bool, sheet: Path | None
) -> tuple[dict[str, list[tuple[str, str]]], dict[str, Any]]:
    """(hash, value) of the distinct items of each view, and the account of the data set; hashes
    are empty for a demo that is not rendered yet.
    """
    ws, params = project.ws, project.params
    if pairs_are_current and ws.account.is_file():
        pairs, account = read_pairs(ws.pairs), read_json(ws.account)
    elif params.dataset.path == DEMO and not (ws.root / params.dataset.path).exists():
        if sheet is not None:
            raise InputError("--sheet: the pictures are drawn by stage demo; csa run draws them")
        emojis = load_emojis(params.dataset.language)
        texts = dict.fromkeys(text for item in emojis for text in item.captions)
        items = {
            "image": [("", item.sequence) for item in emojis],
            "text": [("", text) for text in texts],
        }
        return items, _unrendered(sum(len(item.captions) for item in emojis), emojis[:3])
    else:
        found = ingest(params, ws.root)
        pairs, account = found.pairs, found.account
    if sheet is not None:
        from csa.figures.pairs_sheet import draw_pairs

        draw_pairs(pairs, params, dataset_root(params.dataset, ws.root), sheet)
    items = {
        view: pairs.select(f"{view}_hash", view)
        .unique(f"{view}_hash", keep="first", maintain_order=True)
        .rows()
        for view in params.views
    }
    return items, account


def _unrendered(pairs: int, first: list[Any]) -> dict[str, Any]:
    """The account of the demo before its pictures are drawn."""
    sample = [{"pair_id": item.sequence, "text": item.captions[0]} for item in first]
    notes = ["the built-in data set is drawn by stage demo; groups and splits are known then"]
    return {
        "pairs": pairs,
        "set_aside": [],
        "left_out": [],
        "splits": {},
        "groups": None,
        "notes": notes,
        "sample": sample,
    }


def _plan_view(
    project: Project, view: str, whole: ViewEncoder, items: list[tuple[str, str]]
) -> list[ViewPlan]:
    """What each encoder of a view has to do, beyond what the cache of all together holds; of one
    encoder that is its own.
    """
    caches = {
        key: FeatureCache(project.ws.cache, key)
        for key in {whole.fingerprint, *(part.fingerprint for part in whole.parts)}
    }
    together = caches[whole.fingerprint]
    return [
        _plan_encoder(project, view, encoder, items, (caches[encoder.fingerprint], together))
        for encoder in whole.parts
    ]


def _plan_encoder(
    project: Project,
    view: str,
    encoder: Encoder,
    items: list[tuple[str, str]],
    caches: tuple[FeatureCache, FeatureCache],
) -> ViewPlan:
    """What one encoder has to do; `caches` are its own and that of all the view's encoders."""
    cache, together = caches
    name = str(encoder.description["encoder"])
    if not encoder.cached:
        return ViewPlan(view, name, len(items), len(items), None)
    missing = [(item, value) for item, value in items if item not in cache and item not in together]
    if not missing:
        return ViewPlan(view, name, len(items), len(items), None)
    per_item = cache.seconds_per_item(encoder.runs_on)
    if per_item is None and missing[0][0]:
        per_item = _trial(project, view, encoder, missing)
    return ViewPlan(
        view,
        name,
        len(items),
        len(items) - len(missing),
        None if per_item is None else per_item * len(missing),
        device=encoder.runs_on,
    )


def _plan_pool(project: Project, view: str, whole: ViewEncoder) -> list[ViewPlan]:
    """What a view's unpaired items cost, at most: those that are among the pairs are counted too.

    Raises:
        DataError: they cannot be read.
    """
    params = project.params
    found = read_unpaired(params.dataset, (view, params.views[view]), project.ws.root).items
    together, plans = FeatureCache(project.ws.cache, whole.fingerprint), []
    for encoder in whole.parts:
        cache, items = FeatureCache(project.ws.cache, encoder.fingerprint), found[f"{view}_hash"]
        missing = sum(item not in cache and item not in together for item in items)
        missing *= encoder.cached
        device = encoder.runs_on if missing else None
        per_item = cache.seconds_per_item(device or "cpu")
        seconds = None if per_item is None or not missing else per_item * missing
        name = str(encoder.description["encoder"])
        cached = len(items) - missing
        plan = ViewPlan(f"unpaired {view}", name, len(items), cached, seconds, device=device)
        plans.append(plan)
    return plans


def _guess_view(
    project: Project, view: str, settings: ViewParams, items: list[tuple[str, str]] | None
) -> list[ViewPlan]:
    """What an encoder of a view would cost whose data or model is not here; empty if nothing
    is known of it.
    """
    name, device = project.ws.name, project.params.compute.device
    count = estimates.published_items(name, settings.modality) if items is None else len(items)
    if count is None:
        return []
    try:
        per_item = estimates.seconds_per_item(settings.encoder, device)
    except EncoderError:  # said of the encoders
        per_item = None
    basis = ["items as published"] if items is None else []
    basis += [f"time: {estimates.basis(settings.encoder)}"] if per_item is not None else []
    return [
        ViewPlan(
            view,
            settings.encoder,
            count,
            0,
            None if per_item is None else per_item * count,
            "; ".join(basis),
        )
    ]


def _trial(project: Project, view: str, encoder: Encoder, items: list[tuple[str, str]]) -> float:
    """Seconds per item, from the middle batch by length; a first pass warms the model up."""
    params = project.params
    print(f"timing {encoder.description['encoder']} on one batch", file=sys.stderr)
    load = item_loader(
        params.views[view],
        dataset_root(params.dataset, project.ws.root),
        params.dataset.max_image_pixels,
    )
    lengths = encoder.padded_lengths([value for _, value in items])
    plan = batches(lengths, encoder.batch_size)
    chosen = plan[len(plan) // 2]
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        encoder.encode_batch(
            [encoder.prepare(load(items[i][1])) for i in chosen], lengths[chosen[0]]
        )
        seconds = time.perf_counter() - started
    return seconds / len(chosen)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time (the first run measures it)"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
