"""`csa sweep`: how good methods are with few pairs and with shuffled ones, on the features a
workspace already has.

Every cell (method, size, noise, seed) is kept in .csa/sweep under a hash of all that it depends on,
code included: an interrupted sweep goes on where it stopped, and a second one only reads.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import csa
from csa.baselines import ASIF, PlainCCA, Procrustes, RidgeMap
from csa.core.base import PairModel
from csa.core.matrices import Array
from csa.core.threads import one_thread_a_product
from csa.errors import InputError
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.held_out import HeldOut
from csa.evaluation.retrieval import rank_queries, summarise
from csa.evaluation.vectors import HeldOutVectors
from csa.figures.methods import Axes, curves_chart, sweep_curves
from csa.figures.rendering import save_png
from csa.params.measure import EvaluateParams
from csa.pipeline.code import code_hash
from csa.pipeline.held_out import EvaluationData
from csa.pipeline.workspace import Workspace
from csa.questions.noise import shuffled_pairs
from csa.results.evaluation import RetrievalMetrics
from csa.results.sweep import Cell, SweepReport, SweepRow
from csa.results.words import arrow
from csa.storage.files import write_json

UNPAIRED = "unpaired"
"""The method that a workspace's unpaired items and labels are given to."""

METHODS: dict[str, tuple[str, Callable[[], PairModel]]] = {
    "csa": ("CSA()", csa.CSA),
    "published": (
        "CSA as published, s by cross-validation",
        lambda: csa.CSA(score="canonical", shrinkage=0.0),
    ),
    "cca": ("regularised CCA, cosine", PlainCCA),
    "ridge": ("ridge map", RidgeMap),
    "asif": ("ASIF", ASIF),
    "procrustes": ("Procrustes", Procrustes),
    UNPAIRED: ("CSA() with unpaired items", csa.CSA),
}
"""Name -> label and what makes the estimator."""

DEFAULT_METHODS = ("csa", "published", "ridge", "asif", "procrustes")
SIZES = (20, 50, 100, 300, 1000, 3000, 10_000, 30_000)
NOISE = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
MOST_NOISE_GROUPS = 1000
MIN_GROUPS = 10


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep measures.

    Attributes:
        methods: names of `METHODS`.
        sizes: numbers of training groups (an image with its captions is one); None: 20 upward to
            all there are.
        noise: shares of shuffled pairs; none leaves that part out.
        noise_groups: training groups of the noise sweep; None: 1,000 or all.
        seeds: random subsets of each size; one where all groups are taken without noise.
    """

    methods: tuple[str, ...] = DEFAULT_METHODS
    sizes: tuple[int, ...] | None = None
    noise: tuple[float, ...] = NOISE
    noise_groups: int | None = None
    seeds: int = 3

    def cells(self, most: int) -> tuple[list[Cell], list[Cell]]:
        """The cells against the number of groups, and those against the shuffled share.

        Raises:
            InputError: an unknown method, or a size or share that cannot be.
        """
        sizes = (*(size for size in SIZES if size < most), most)
        sizes = sizes if self.sizes is None else tuple(sorted(set(self.sizes)))
        noise_groups = self.noise_groups or min(MOST_NOISE_GROUPS, most)
        noisy = [name for name in self.methods if name != UNPAIRED]
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods:
            raise InputError(
                f"unknown method {unknown[0] if unknown else ''!r}; there are {', '.join(METHODS)}"
            )
        wrong = [size for size in (*sizes, noise_groups) if not MIN_GROUPS <= size <= most]
        if wrong or not sizes:
            raise InputError(
                f"{wrong[0] if wrong else 'no'} training groups: sizes lie between {MIN_GROUPS} "
                f"and {most}, all there are"
            )
        if any(not 0 <= share <= 1 for share in self.noise):
            raise InputError(f"noise {self.noise}: shares of shuffled pairs lie in [0, 1]")

        def cells(
            sizes: Iterable[int], noise: Iterable[float], methods: Iterable[str]
        ) -> list[Cell]:
            return [
                Cell(method, size, share, seed)
                for size, share, method in product(sizes, noise, methods)
                for seed in range(self.seeds if size < most or share else 1)
            ]

        shuffled = cells((noise_groups,), sorted(set(self.noise)), noisy)
        return cells(sizes, (0.0,), self.methods), shuffled


@dataclass(frozen=True, eq=False)
class SweepData:
    """Training features and held-out pairs of a fitted workspace.

    Attributes:
        X, Y: features of the training pairs.
        group: group number of each training pair, in order of first appearance.
        held_out: what is measured on.
        identity: hash of the training pairs and of both encoders.
        beside: what the method `unpaired` is given beside pairs, as `csa.CSA.fit` names it; empty
            where the workspace has no unpaired items.
    """

    X: Array
    Y: Array
    group: NDArray[np.intp]
    held_out: HeldOut
    identity: str
    beside: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, ws: Workspace) -> "SweepData":
        """Read a workspace that was run.

        Raises:
            ArtifactError: it was not.
        """
        opened = EvaluationData(ws)
        pairs, views = opened.pairs, opened.params.view_names
        X, Y, _ = opened.training()
        train = pairs.filter(pl.col("split") == "train")
        encoders = list(opened.fingerprints().values())
        content = [
            encoders,
            train.select("pair_id", "group", *(f"{view}_hash" for view in views)).rows(),
        ]
        names = train["group"].unique(maintain_order=True).to_list()
        numbers = {name: i for i, name in enumerate(names)}
        group = np.array([numbers[name] for name in train["group"]], dtype=np.intp)
        return cls(
            X,
            Y,
            group,
            opened.held_out(),
            hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest(),
            opened.beside_pairs() if opened.params.dataset.unpaired else {},
        )

    @cached_property
    def beside_identity(self) -> str:
        """Hash of unpaired items and labels."""
        digest, bridge = hashlib.sha256(), self.beside["bridge"]
        labels = () if bridge is None else (bridge.weights, bridge.bias, bridge.label_features)
        for part in (self.beside["unpaired_x"], self.beside["unpaired_y"], *labels):
            digest.update(b"none" if part is None else np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    @property
    def groups(self) -> int:
        """Number of training groups."""
        return int(self.group.max()) + 1


def run_sweep(ws: Workspace, plan: SweepPlan = SweepPlan()) -> SweepReport:
    """Measure what is not measured yet, and write data/sweep: sweep.json, data_efficiency.png and
    noise.png.

    Args:
        ws: a workspace that was run.
        plan: what to measure.

    Returns:
        All that was measured, now or before.

    Raises:
        ArtifactError: the workspace was not run.
        InputError: an unknown method, a size or share that cannot be, or the method `unpaired`
            in a workspace without unpaired items.
    """
    data, params = SweepData.of(ws), ws.params().evaluate
    efficiency, shuffled = plan.cells(data.groups)
    cells = [*efficiency, *(cell for cell in shuffled if cell not in efficiency)]
    if not data.beside and any(cell.method == UNPAIRED for cell in cells):
        raise InputError(
            f"workspace {ws.name} has no unpaired items; name some in dataset.unpaired, `csa run` "
            f"it, then sweep again"
        )
    rows = _measure_all(cells, data, params, ws.state / "sweep")
    report = SweepReport(
        workspace=ws.name,
        training_groups=data.groups,
        held_out_pairs=len(data.held_out.pairs),
        seeds=plan.seeds,
        evaluation_id=data.held_out.evaluation_id,
        methods={cell.method: METHODS[cell.method][0] for cell in cells},
        data_efficiency=[rows[cell] for cell in efficiency],
        noise=[rows[cell] for cell in shuffled],
    )
    folder = ws.data / "sweep"
    write_json(folder / "sweep.json", report.as_dict())
    draw(report, folder)
    return report


def fit_subset(
    make: Callable[[], Any], data: SweepData, groups: int, noise: float, seed: int
) -> tuple[Any, int, float]:
    """Fit to some training groups.

    Args:
        make: makes the estimator.
        data: where the groups are from.
        groups: how many, chosen at random.
        noise: share of their pairs that are shuffled, in [0, 1].
        seed: of the choice and of the shuffling.

    Returns:
        The fitted model, the number of pairs, and the seconds that the fit took.
    """
    chosen = np.random.default_rng(seed).permutation(data.groups)[:groups]
    rows = np.flatnonzero(np.isin(data.group, chosen))
    group = number_groups(data.group[rows])
    X, Y = data.X[rows], data.Y[rows[shuffled_pairs(group, noise, seed)]]
    started = time.perf_counter()
    model = make().fit(X, Y, groups=group)
    return model, len(rows), round(time.perf_counter() - started, 2)


def retrieval(model: Any, held_out: HeldOut, params: EvaluateParams) -> dict[str, RetrievalMetrics]:
    """How well held-out pairs find each other.

    Args:
        model: anything that has `index_vectors`.
        held_out: the pairs with their features.
        params: resamples, confidence and seed of the intervals.

    Returns:
        Direction -> metrics.
    """
    return summarise(rank_queries(HeldOutVectors.of(model, held_out), held_out), params)


def draw(report: SweepReport, folder: Path) -> None:
    """Draw recall at 1 of every method, both directions side by side: data_efficiency.png and
    noise.png.

    Args:
        report: the sweep.
        folder: where to.
    """
    for part in report.parts:
        name, label = {
            "groups": ("data_efficiency", "training groups, log scale"),
            "noise": ("noise", f"share of shuffled pairs, of {part.rows[0].groups:,} groups"),
        }[part.varied]
        against = Axes(label, "recall at 1, %", logarithmic=part.varied == "groups")
        panels = {arrow(way): curves for way, curves in sweep_curves(part, report.methods).items()}
        save_png(curves_chart("sweep", "", panels, against).figure, folder / f"{name}.png")


def _measure_all(
    cells: list[Cell], data: SweepData, params: EvaluateParams, folder: Path
) -> dict[Cell, SweepRow]:
    from tqdm import tqdm

    files = {cell: folder / f"{_address(cell, data, params)}.json" for cell in cells}
    rows = {cell: SweepRow.read(file) for cell, file in files.items() if file.is_file()}
    with (
        tqdm(total=len(cells), initial=len(rows), desc="sweep", unit=" fits", ncols=100) as bar,
        one_thread_a_product(),
    ):
        for cell in cells:
            if cell in rows:
                continue
            bar.set_postfix_str(f"{cell.method}, {cell.groups} groups", refresh=False)
            make = _maker(cell.method, data)
            model, pairs, seconds = fit_subset(make, data, cell.groups, cell.noise, cell.seed)
            measured = retrieval(model, data.held_out, params)
            rows[cell] = SweepRow(
                **vars(cell), pairs=pairs, fit_seconds=seconds, retrieval=measured
            )
            write_json(files[cell], rows[cell].as_dict())
            bar.update()
    return rows


def _maker(method: str, data: SweepData) -> Callable[[], Any]:
    """What makes a method's estimator; its `fit` takes pairs and groups alone."""
    make = METHODS[method][1]
    if method != UNPAIRED:
        return make
    return lambda: SimpleNamespace(fit=partial(csa.CSA().fit, **data.beside))


def _address(cell: Cell, data: SweepData, params: EvaluateParams) -> str:
    """Hash of everything a cell's result depends on."""
    settings = repr(METHODS[cell.method][1]().get_params())
    content = [
        cell.as_dict(),
        settings,
        data.identity,
        data.held_out.evaluation_id,
        params.model_dump(),
        code_hash(__name__),
        *([data.beside_identity] if cell.method == UNPAIRED else []),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def split_list(text: str, kind: Callable[[str], Any], option: str) -> tuple[Any, ...]:
    """Values of a command-line option, separated by commas.

    Args:
        text: what was given.
        kind: makes a value of one part.
        option: what errors call it.

    Returns:
        The values, in order.

    Raises:
        InputError: one that is not of its kind.
    """
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option} {text!r}: expected values separated by commas") from None
