"""`csa sweep`: how good methods are with few pairs and with shuffled ones, on the features a
workspace already has.

Every cell (method, size, noise, seed) is kept in .csa/sweep under a hash of all that it depends on,
code included: an interrupted sweep goes on where it stopped, and a second one only reads.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import csa
from csa.baselines import ASIF, PlainCCA, Procrustes, RidgeMap
from csa.core.base import PairModel
from csa.core.matrices import Array
from csa.core.threads import one_thread_a_product
from csa.datasets.pairs_table import read_pairs
from csa.errors import InputError
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.held_out import HeldOut
from csa.evaluation.retrieval import rank_queries, summarise
from csa.evaluation.vectors import HeldOutVectors
from csa.features.shards import FeatureTable, fingerprint_of_features
from csa.figures.methods import Axes, curves_chart, sweep_curves
from csa.figures.rendering import save_png
from csa.figures.style import arrow
from csa.params.measure import EvaluateParams
from csa.pipeline.code import code_hash
from csa.pipeline.workspace import Workspace
from csa.questions.noise import shuffled_pairs
from csa.storage.files import read_json, write_json

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
}
"""Name -> label and what makes the estimator."""

DEFAULT_METHODS = ("csa", "published", "ridge", "asif", "procrustes")
SIZES = (20, 50, 100, 300, 1000, 3000, 10_000, 30_000)
NOISE = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
MOST_NOISE_GROUPS = 1000
MIN_GROUPS = 10


@dataclass(frozen=True)
class Cell:
    """One measurement: a method fitted to a random subset of the training groups, some of its
    pairs shuffled.
    """

    method: str
    groups: int
    noise: float
    seed: int


@dataclass(frozen=True, eq=False)
class SweepData:
    """Training features and held-out pairs of a fitted workspace.

    Attributes:
        X, Y: features of the training pairs.
        group: group number of each training pair, in order of first appearance.
        held_out: what is measured on.
        identity: hash of the training pairs and of both encoders.
    """

    X: Array
    Y: Array
    group: NDArray[np.intp]
    held_out: HeldOut
    identity: str

    @classmethod
    def of(cls, ws: Workspace) -> "SweepData":
        """Read a workspace that was run.

        Raises:
            ArtifactError: it was not.
        """
        params, pairs = ws.params(), read_pairs(ws.pairs)
        views = params.view_names
        tables = tuple(FeatureTable.read(ws.features(view)) for view in views)
        train = pairs.filter(pl.col("split") == "train")
        X, Y = (
            table.rows(train[f"{view}_hash"].to_list())
            for view, table in zip(views, tables, strict=True)
        )
        encoders = [fingerprint_of_features(ws.features(view)) for view in views]
        content = [
            encoders,
            train.select("pair_id", "group", *(f"{view}_hash" for view in views)).rows(),
        ]
        names = train["group"].unique(maintain_order=True).to_list()
        numbers = {name: i for i, name in enumerate(names)}
        group = np.array([numbers[name] for name in train["group"]], dtype=np.intp)
        held_out = HeldOut.of(pairs, views, (tables[0], tables[1]))
        return cls(
            X,
            Y,
            group,
            held_out,
            hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest(),
        )

    @property
    def groups(self) -> int:
        """Number of training groups."""
        return int(self.group.max()) + 1


@dataclass(frozen=True, eq=False)
class Sweep:
    """All cells of both sweeps.

    Attributes:
        efficiency, noise: rows, a `Cell`'s entries and pairs, fit_seconds and retrieval (direction
            -> metric -> estimate).
        data: workspace, training groups, held-out pairs.
    """

    efficiency: list[dict[str, Any]]
    noise: list[dict[str, Any]]
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        used = dict.fromkeys(row["method"] for row in (*self.efficiency, *self.noise))
        labels = {name: METHODS[name][0] for name in used}
        return {
            **self.data,
            "methods": labels,
            "data_efficiency": self.efficiency,
            "noise": self.noise,
        }

    def __str__(self) -> str:
        ways = " / ".join(way.replace("_to_", " → ") for way in self.efficiency[0]["retrieval"])
        parts = [f"recall at 1 in %, {ways}, means over seeds"]
        for title, rows, key, form in (
            ("training groups", self.efficiency, "groups", "{:,}"),
            ("shuffled pairs", self.noise, "noise", "{:.0%}"),
        ):
            if rows:
                parts += ["", *_text_table(title, rows, key, form)]
        return "\n".join(parts)


def run_sweep(
    ws: Workspace,
    methods: tuple[str, ...] = DEFAULT_METHODS,
    sizes: tuple[int, ...] | None = None,
    noise: tuple[float, ...] = NOISE,
    noise_groups: int | None = None,
    seeds: int = 3,
) -> Sweep:
    """Measure what is not measured yet, and write data/sweep: sweep.json, data_efficiency.png and
    noise.png.

    Args:
        ws: a workspace that was run.
        methods: names of `METHODS`.
        sizes: numbers of training groups (an image with its captions is one); default: 20 upward to
            all there are.
        noise: shares of shuffled pairs; none leaves that part out.
        noise_groups: training groups of the noise sweep; default: 1,000 or all.
        seeds: random subsets of each size; one where all groups are taken without noise.

    Raises:
        ArtifactError: the workspace was not run.
        InputError: an unknown method, or a size or share that cannot be.
    """
    data, params = SweepData.of(ws), ws.params().evaluate
    most = data.groups
    sizes = (
        tuple(sorted({*(size for size in SIZES if size < most), most}))
        if sizes is None
        else tuple(sorted(set(sizes)))
    )
    noise_groups = noise_groups or min(MOST_NOISE_GROUPS, most)
    _check(methods, sizes, noise, noise_groups, most)
    efficiency = _cells(methods, sizes, (0.0,), seeds, most)
    shuffled = _cells(methods, (noise_groups,), tuple(sorted(set(noise))), seeds, most)
    rows = _measure_all(
        [*efficiency, *(cell for cell in shuffled if cell not in efficiency)],
        data,
        params,
        ws.state / "sweep",
    )
    about = {
        "workspace": ws.name,
        "training_groups": most,
        "held_out_pairs": len(data.held_out.pairs),
        "seeds": seeds,
    }
    about["evaluation_id"] = data.held_out.evaluation_id
    sweep = Sweep([rows[cell] for cell in efficiency], [rows[cell] for cell in shuffled], about)
    folder = ws.data / "sweep"
    write_json(folder / "sweep.json", sweep.as_dict())
    against = Axes("training groups, log scale", "recall at 1, %", logarithmic=True)
    draw(sweep.efficiency, "groups", against, folder / "data_efficiency.png")
    if shuffled:
        against = Axes(f"share of shuffled pairs, of {noise_groups:,} groups", "recall at 1, %")
        draw(sweep.noise, "noise", against, folder / "noise.png")
    return sweep


def fit_subset(
    make: Callable[[], Any], data: SweepData, groups: int, noise: float, seed: int
) -> tuple[Any, int, float]:
    """Fit to so many random training groups, a share of their pairs shuffled: (model, pairs,
    seconds).
    """
    chosen = np.random.default_rng(seed).permutation(data.groups)[:groups]
    rows = np.flatnonzero(np.isin(data.group, chosen))
    group = number_groups(data.group[rows])
    X, Y = data.X[rows], data.Y[rows[shuffled_pairs(group, noise, seed)]]
    started = time.perf_counter()
    model = make().fit(X, Y, groups=group)
    return model, len(rows), round(time.perf_counter() - started, 2)


def retrieval(model: Any, held_out: HeldOut, params: EvaluateParams) -> dict[str, dict[str, Any]]:
    """Direction -> metric -> value and interval, of anything that has `index_vectors`."""
    summary = summarise(rank_queries(HeldOutVectors.of(model, held_out), held_out), params)
    return {way: metrics.as_dict() for way, metrics in summary.items()}


def draw(rows: list[dict[str, Any]], key: str, against: Axes, path: Path) -> None:
    """Recall at 1 of every method, both directions side by side.

    Args:
        rows: of one sweep.
        key: what stands on the x axis: groups or noise.
        against: the axes.
        path: of the PNG.
    """
    labels = {name: label for name, (label, _) in METHODS.items()}
    panels = {arrow(way): curves for way, curves in sweep_curves(rows, key, labels).items()}
    save_png(curves_chart("sweep", "", panels, against).figure, path)


def _check(
    methods: tuple[str, ...],
    sizes: tuple[int, ...],
    noise: tuple[float, ...],
    noise_groups: int,
    most: int,
) -> None:
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise InputError(
            f"unknown method {unknown[0] if unknown else ''!r}; there are {', '.join(METHODS)}"
        )
    wrong = [size for size in (*sizes, noise_groups) if not MIN_GROUPS <= size <= most]
    if wrong or not sizes:
        raise InputError(
            f"{wrong[0] if wrong else 'no'} training groups: sizes lie between {MIN_GROUPS} and "
            f"{most}, all there are"
        )
    if any(not 0 <= share <= 1 for share in noise):
        raise InputError(f"noise {noise}: shares of shuffled pairs lie in [0, 1]")


def _cells(
    methods: tuple[str, ...],
    sizes: tuple[int, ...],
    noise: tuple[float, ...],
    seeds: int,
    most: int,
) -> list[Cell]:
    return [
        Cell(method, size, share, seed)
        for size in sizes
        for share in noise
        for method in methods
        for seed in range(seeds if size < most or share else 1)
    ]


def _measure_all(
    cells: list[Cell], data: SweepData, params: EvaluateParams, folder: Path
) -> dict[Cell, dict[str, Any]]:
    from tqdm import tqdm

    files = {cell: folder / f"{_address(cell, data, params)}.json" for cell in cells}
    rows = {cell: read_json(file) for cell, file in files.items() if file.is_file()}
    with (
        tqdm(total=len(cells), initial=len(rows), desc="sweep", unit=" fits", ncols=100) as bar,
        one_thread_a_product(),
    ):
        for cell in cells:
            if cell in rows:
                continue
            bar.set_postfix_str(f"{cell.method}, {cell.groups} groups", refresh=False)
            make = METHODS[cell.method][1]
            model, pairs, seconds = fit_subset(make, data, cell.groups, cell.noise, cell.seed)
            measured = retrieval(model, data.held_out, params)
            rows[cell] = {
                **asdict(cell),
                "pairs": pairs,
                "fit_seconds": seconds,
                "retrieval": measured,
            }
            write_json(files[cell], rows[cell])
            bar.update()
    return rows


def _address(cell: Cell, data: SweepData, params: EvaluateParams) -> str:
    """Hash of everything a cell's result depends on."""
    settings = repr(METHODS[cell.method][1]().get_params())
    content = [
        asdict(cell),
        settings,
        data.identity,
        data.held_out.evaluation_id,
        params.model_dump(),
        code_hash(__name__),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _text_table(title: str, rows: list[dict[str, Any]], key: str, form: str) -> list[str]:
    places = sorted({row[key] for row in rows})
    lines = [f"{title:<42}" + "".join(f"{form.format(place):>13}" for place in places)]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for place in places:
            mine = [
                row["retrieval"] for row in rows if (row["method"], row[key]) == (method, place)
            ]
            means = [
                100 * np.mean([way[name]["recall_at_1"]["value"] for way in mine])
                for name in mine[0]
            ]
            cells.append(f"{' / '.join(f'{mean:.1f}' for mean in means):>13}")
        lines.append(f"{METHODS[method][0]:<42}{''.join(cells)}")
    return lines


def split_list(text: str, kind: Callable[[str], Any], option: str) -> tuple[Any, ...]:
    """Values of a command-line option, separated by commas.

    Raises:
        InputError: one that is not of its kind.
    """
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option} {text!r}: expected values separated by commas") from None
