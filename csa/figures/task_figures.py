"""Plots of the tasks: ROC curves, coverage of conformal decisions, confused classes, contenders,
captions out of context.
"""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Float64
from csa.evaluation.out_of_context import Detector
from csa.figures.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain_axes, save

PURPLE = "#7b5ea7"
RED = "#c23b4b"
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED)
_SPREAD = 0.7
_WORST = 12
_LABEL_CHARACTERS = 22


def roc(pairs: pl.DataFrame, metrics: dict[str, Any], path: Path) -> None:
    """How many wrong pairs are found for how many right ones flagged: random strangers, hard
    ones, and known errors.
    """
    score = pairs["score"].to_numpy()
    kinds = [
        ("random strangers", "mismatch", pairs["stranger_score"].drop_nulls().to_numpy(), score),
        (
            "hard strangers",
            "mismatch_hard",
            pairs["hard_stranger_score"].drop_nulls().to_numpy(),
            score,
        ),
    ]
    if "mismatch_known" in metrics:
        known = pairs["mislabelled"]
        wrong, right = known.fill_null(False).to_numpy(), (~known).fill_null(False).to_numpy()
        kinds.append(("known errors", "mismatch_known", score[wrong], score[right]))
    figure = new_figure(5.6, 5)
    axes = figure.add_subplot()
    for (label, name, wrong_scores, right_scores), colour in zip(kinds, _COLOURS, strict=False):
        if name in metrics:
            flagged, found = _roc_points(wrong_scores, right_scores)
            area = metrics[name]["auc"]
            text = f"{label}: AUC {area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]"
            axes.plot(flagged, found, color=colour, label=text)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    axes.axhline(0.95, color=GREY, linewidth=0.6)
    axes.set(xlim=(0, 1), ylim=(0, 1.005))
    plain_axes(axes, "Detection of wrong pairs", "right pairs flagged", "wrong pairs found")
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    save(figure, path)


def _roc_points(wrong: Float64, right: Float64) -> tuple[Float64, Float64]:
    """(share of right pairs flagged, share of wrong ones found) for every threshold, from the
    lowest score up.
    """
    cuts = np.unique(np.concatenate([wrong, right]))
    points = [
        np.concatenate([[0.0], np.searchsorted(np.sort(part), cuts, side="right") / len(part)])
        for part in (right, wrong)
    ]
    return points[0], points[1]


def calibration(curve: pl.DataFrame, path: Path) -> None:
    """Measured against promised coverage of every kind of decision, and what it costs: set
    sizes, or pairs left undecided.
    """
    figure = new_figure(11, 4.6)
    left, right = figure.subplots(1, 2)
    left.axhline(0, color=GREY, linestyle=":", linewidth=1)
    kinds = [str(kind) for kind in curve["kind"].unique(maintain_order=True)]
    alphas = sorted(curve["alpha"].unique(), reverse=True)
    for k, (kind, colour) in enumerate(zip(kinds, _COLOURS, strict=False)):
        part = curve.filter(pl.col("kind") == kind).sort("alpha", descending=True)
        place = np.arange(len(part)) + _SPREAD * (k - (len(kinds) - 1) / 2) / len(kinds)
        promised, size = 1 - part["alpha"].to_numpy(), 100 * part["size"].to_numpy()
        coverage, low, high = (
            100 * (part[name].to_numpy() - promised) for name in ("coverage", "low", "high")
        )
        left.vlines(place, low, high, color=colour, linewidth=1.4, alpha=0.55)
        left.plot(place, coverage, "o", color=colour, markersize=3.5, label=_kind_label(kind))
        label = (
            "left undecided" if kind in ("true", "strangers") else "of the candidates in the set"
        )
        shown = np.where(size > 0, size, np.nan)
        right.plot(
            place,
            shown,
            "o-",
            color=colour,
            markersize=3.5,
            linewidth=1,
            label=f"{_kind_label(kind)}: {label}",
        )
    plain_axes(
        left, "Does the promise hold?", "promised coverage", "measured minus promised, points"
    )
    left.legend(frameon=False, fontsize=8, ncols=2)
    right.set_yscale("log")
    right.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    plain_axes(right, "What it costs", "promised coverage", "share (log scale; none is not drawn)")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_xticks(range(len(alphas)), [f"{100 * (1 - alpha):.3g} %" for alpha in alphas])
        axes.grid(axis="x", visible=False)
    save(figure, path)


def _kind_label(kind: str) -> str:
    return {"true": "true pairs", "strangers": "strangers", "classes": "right class"}.get(
        kind, kind.replace("_to_", " → ")
    )


def confusion(
    results: pl.DataFrame, classes: pl.DataFrame, metrics: dict[str, Any], path: Path
) -> None:
    """The classes that fare worst, and where their images go instead: the right class is the first
    column, the others follow in the order of the rows that go there.

    Args:
        results: one row an image, from `csa.evaluation.classification.classify`.
        classes: from `csa.evaluation.classification.per_class`, the worst first.
        metrics: of the classification.
        path: of the PNG.
    """
    shown = classes.head(_WORST)["label"].to_list()
    gone = results.filter(pl.col("label").is_in(shown) & (pl.col("predicted") != pl.col("label")))
    targets = (
        gone["predicted"]
        .value_counts(sort=True)
        .sort(["count", "predicted"], descending=[True, False])
    )
    often = targets.head(_WORST)["predicted"].to_list()
    sizes = dict(classes.select("label", "images").iter_rows())
    counts = {
        (label, other): n
        for label, other, n in results.group_by("label", "predicted").len().iter_rows()
    }
    columns = sorted(
        often,
        key=lambda other: next(i for i, label in enumerate(shown) if (label, other) in counts),
    )
    share = np.zeros((len(shown), len(columns) + 1))
    for i, label in enumerate(shown):
        share[i] = [counts.get((label, other), 0) / sizes[label] for other in (label, *columns)]
    figure = new_figure(max(6.5, 3.2 + 0.5 * len(columns)), 2.6 + 0.36 * len(shown))
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, k), value in np.ndenumerate(share):
        if value > 0:
            axes.text(
                k,
                i,
                f"{value:.0%}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value > 0.5 else "black",
            )
    axes.set_xticks(np.arange(len(columns)) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(shown) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#e3e7ee", linewidth=0.8)
    axes.axvline(0.5, color=GREY, linewidth=1.5)
    rows = [f"{_short(label)} ({_images(sizes[label])})" for label in shown]
    # a class may be called $5
    axes.set_yticks(range(len(shown)), rows, fontsize=8, parse_math=False)
    places = ["right class", *map(_short, columns)]
    axes.set_xticks(
        range(len(places)),
        places,
        rotation=45,
        ha="right",
        rotation_mode="anchor",
        fontsize=8,
        parse_math=False,
    )
    axes.tick_params(which="both", length=0)
    top = metrics["top_1"]
    protocol = str(metrics["protocol"]).replace("_", " ")
    title = (
        f"Worst classes and where their images go\n{protocol}, {metrics['classes']:,} classes: "
        f"top-1 {top['value']:.1%} "
        f"[{100 * top['low']:.1f}, {100 * top['high']:.1f}], chance "
        f"{metrics['chance']['top_1']['value']:.2%}"
    )
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.spines[:].set_visible(False)
    save(figure, path)


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _short(label: str) -> str:
    return textwrap.shorten(label, _LABEL_CHARACTERS, placeholder="…") or label[:_LABEL_CHARACTERS]


def contenders(metrics: dict[str, Any], path: Path) -> None:
    """CSA and what it is measured beside on the same held-out pairs: recall at 1, AUC, and top-1
    where there are labels.
    """
    models = {"CSA": metrics, **metrics["baselines"]}
    panels: list[tuple[str, tuple[str, ...]]] = [
        (f"R@1 {way.replace('_to_', ' → ')}", ("retrieval", way, "recall_at_1"))
        for way in metrics["retrieval"]
    ]
    panels += [
        ("AUC, random strangers", ("mismatch", "auc")),
        ("AUC, hard strangers", ("mismatch_hard", "auc")),
    ]
    if "classification" in metrics:
        panels.append(
            (
                f"top-1, {metrics['classification']['protocol'].replace('_', ' ')}",
                ("classification", "top_1"),
            )
        )
    panels = [(title, keys) for title, keys in panels if _at(metrics, keys) is not None]
    figure = new_figure(2.4 + 2.1 * len(panels), 1.2 + 0.34 * len(models))
    for k, (axes, (title, keys)) in enumerate(
        zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True)
    ):
        for i, values in enumerate(models.values()):
            found = _at(values, keys)
            if found is not None:
                axes.plot(
                    [found["low"], found["high"]],
                    [i, i],
                    color=BLUE if i == 0 else GREY,
                    linewidth=2,
                )
                axes.plot(found["value"], i, "o", color=BLUE if i == 0 else GREY, markersize=5)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.set_yticks(
            range(len(models)),
            [name.replace("_", " ") for name in models] if k == 0 else [],
            parse_math=False,
        )
        plain_axes(axes, title, "", "")
        axes.title.set_fontsize(9)
    save(figure, path)


def _at(metrics: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        metrics = metrics.get(key, {})
    return metrics or None


def out_of_context(
    table: pl.DataFrame, detector: Detector, metrics: dict[str, Any], path: Path
) -> None:
    """The test half: both similarities of every row, what it is, and where the rule that
    validation chose cuts.
    """
    test = table.filter(pl.col("part") == "test")
    figure = new_figure(6.5, 5)
    axes = figure.add_subplot()
    for out, colour, label in ((False, BLUE, "in context"), (True, ORANGE, "out of context")):
        part = test.filter(pl.col("out") == out)
        axes.scatter(
            part["caption_similarity"],
            part["image_similarity"],
            s=7,
            color=colour,
            alpha=0.5,
            linewidth=0,
            label=label,
        )
    low_x, low_y = axes.get_xlim()[0], axes.get_ylim()[0]
    if np.isfinite(detector.t_captions):
        corner_x, corner_y = (
            [low_x, detector.t_captions, detector.t_captions],
            [detector.t_image, detector.t_image, low_y],
        )
        axes.plot(
            corner_x,
            corner_y,
            color="black",
            linewidth=1,
            label="called out of context: below and left",
        )
        axes.set(xlim=(low_x, None), ylim=(low_y, None))
    paper = metrics["paper"]
    accuracy, chance = paper["accuracy"]["value"], metrics["chance"]["accuracy"]["value"]
    title = (
        f"Second captions: AUC {paper['auc']['value']:.3f}, accuracy {accuracy:.1%} (chance "
        f"{chance:.0%})"
    )
    plain_axes(axes, title, "caption 1 ~ caption 2", "image ~ caption 2")
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)
