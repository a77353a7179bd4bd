"""Plots of the tasks: ROC curves, coverage of conformal decisions, confused classes, contenders, captions out of context."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Float64
from csa.report.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain_axes, save
from csa.tasks.out_of_context import Detector

PURPLE = "#7b5ea7"
RED = "#c23b4b"
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED)
_WORST = 12
_LABEL_CHARACTERS = 22


def roc(pairs: pl.DataFrame, metrics: dict[str, Any], path: Path) -> None:
    """How many wrong pairs are found for how many right ones flagged: random strangers, hard ones, and known errors."""
    score = pairs["score"].to_numpy()
    kinds = [
        ("random strangers", "mismatch", pairs["stranger_score"].drop_nulls().to_numpy(), score),
        ("hard strangers", "mismatch_hard", pairs["hard_stranger_score"].drop_nulls().to_numpy(), score),
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
    """(share of right pairs flagged, share of wrong ones found) for every threshold, from the lowest score up."""
    cuts = np.unique(np.concatenate([wrong, right]))
    points = [np.concatenate([[0.0], np.searchsorted(np.sort(part), cuts, side="right") / len(part)]) for part in (right, wrong)]
    return points[0], points[1]


def calibration(curve: pl.DataFrame, path: Path) -> None:
    """Measured against promised coverage of every kind of decision, and what it costs: set sizes, or pairs left undecided."""
    figure = new_figure(9.5, 4.2)
    left, right = figure.subplots(1, 2)
    left.plot([0.5, 1], [0.5, 1], color=GREY, linestyle=":", linewidth=1, label="as promised")
    for ((kind,), part), colour in zip(curve.group_by("kind", maintain_order=True), _COLOURS, strict=False):
        promised = 1 - part["alpha"].to_numpy()
        label = _kind_label(str(kind))
        left.plot(promised, part["coverage"], color=colour, marker="o", markersize=3, label=label)
        left.fill_between(promised, part["low"].to_numpy(), part["high"].to_numpy(), color=colour, alpha=0.12, linewidth=0)
        what = "left undecided" if kind in ("true", "strangers") else "of candidates in the set"
        size = part["size"].to_numpy()
        right.plot(promised, np.where(size > 0, size, np.nan), color=colour, marker="o", markersize=3, label=f"{label}: {what}")
    left.set(xlim=(0.5, 1), ylim=(0.5, 1))
    plain_axes(left, "Does the promise hold?", "promised coverage", "measured on the other half of the groups")
    left.legend(frameon=False, loc="upper left", fontsize=8)
    right.set_xlim(0.5, 1)
    right.set_yscale("log")
    plain_axes(right, "What it costs", "promised coverage", "share (log scale; none is not drawn)")
    right.legend(frameon=False, loc="upper left", fontsize=8)
    save(figure, path)


def _kind_label(kind: str) -> str:
    return {"true": "true pairs", "strangers": "strangers", "classes": "right class"}.get(kind, kind.replace("_to_", " → "))


def confusion(results: pl.DataFrame, classes: pl.DataFrame, metrics: dict[str, Any], path: Path) -> None:
    """The classes that fare worst, and where their images go instead; the right class is the first column.

    Args:
        results: one row an image, from `csa.tasks.classification.classify`.
        classes: from `csa.tasks.classification.per_class`, the worst first.
        metrics: of the classification.
        path: of the PNG.
    """
    shown = classes.head(_WORST)["label"].to_list()
    gone = results.filter(pl.col("label").is_in(shown) & (pl.col("predicted") != pl.col("label")))
    targets = gone["predicted"].value_counts(sort=True).sort(["count", "predicted"], descending=[True, False])
    columns = targets.head(_WORST)["predicted"].to_list()
    share = np.zeros((len(shown), len(columns) + 1))
    sizes = dict(classes.select("label", "images").iter_rows())
    counts = {(label, other): n for label, other, n in results.group_by("label", "predicted").len().iter_rows()}
    for i, label in enumerate(shown):
        share[i] = [counts.get((label, other), 0) / sizes[label] for other in (label, *columns)]
    figure = new_figure(max(6.5, 3.2 + 0.5 * len(columns)), 2.6 + 0.36 * len(shown))
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, k), value in np.ndenumerate(share):
        if value > 0:
            axes.text(k, i, f"{value:.0%}", ha="center", va="center", fontsize=7, color="white" if value > 0.5 else "black")
    axes.axvline(0.5, color=GREY, linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{_short(label)} ({sizes[label]})" for label in shown], fontsize=8)
    axes.set_xticks(range(len(columns) + 1), ["right", *map(_short, columns)], rotation=60, ha="right", fontsize=8)
    top = metrics["top_1"]
    protocol = str(metrics["protocol"]).replace("_", " ")
    title = (
        f"Worst classes (images) and where they go\n{protocol}, {metrics['classes']:,} classes: top-1 {top['value']:.1%} "
        f"[{100 * top['low']:.1f}, {100 * top['high']:.1f}], chance {metrics['chance']['top_1']['value']:.2%}"
    )
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.spines[:].set_visible(False)
    save(figure, path)


def _short(label: str) -> str:
    return textwrap.shorten(label, _LABEL_CHARACTERS, placeholder="…") or label[:_LABEL_CHARACTERS]


def contenders(metrics: dict[str, Any], path: Path) -> None:
    """CSA and what it is measured beside on the same held-out pairs: recall at 1, AUC, and top-1 where there are labels."""
    models = {"CSA": metrics, **metrics["baselines"]}
    panels: list[tuple[str, tuple[str, ...]]] = [
        (f"R@1 {way.replace('_to_', ' → ')}", ("retrieval", way, "recall_at_1")) for way in metrics["retrieval"]
    ]
    panels += [("AUC, random strangers", ("mismatch", "auc")), ("AUC, hard strangers", ("mismatch_hard", "auc"))]
    if "classification" in metrics:
        panels.append((f"top-1, {metrics['classification']['protocol'].replace('_', ' ')}", ("classification", "top_1")))
    panels = [(title, keys) for title, keys in panels if _at(metrics, keys) is not None]
    figure = new_figure(2.4 + 2.1 * len(panels), 1.2 + 0.34 * len(models))
    for k, (axes, (title, keys)) in enumerate(zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True)):
        for i, values in enumerate(models.values()):
            found = _at(values, keys)
            if found is not None:
                axes.plot([found["low"], found["high"]], [i, i], color=BLUE if i == 0 else GREY, linewidth=2)
                axes.plot(found["value"], i, "o", color=BLUE if i == 0 else GREY, markersize=5)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.set_yticks(range(len(models)), [name.replace("_", " ") for name in models] if k == 0 else [])
        plain_axes(axes, title, "", "")
        axes.title.set_fontsize(9)
    save(figure, path)


def _at(metrics: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        metrics = metrics.get(key, {})
    return metrics or None


def out_of_context(table: pl.DataFrame, detector: Detector, metrics: dict[str, Any], path: Path) -> None:
    """The test half: both similarities of every row, what it is, and where the rule that validation chose cuts."""
    test = table.filter(pl.col("part") == "test")
    figure = new_figure(6.5, 5)
    axes = figure.add_subplot()
    for out, colour, label in ((False, BLUE, "in context"), (True, ORANGE, "out of context")):
        part = test.filter(pl.col("out") == out)
        axes.scatter(part["caption_similarity"], part["image_similarity"], s=7, color=colour, alpha=0.5, linewidth=0, label=label)
    low_x, low_y = axes.get_xlim()[0], axes.get_ylim()[0]
    if np.isfinite(detector.t_captions):
        corner_x, corner_y = [low_x, detector.t_captions, detector.t_captions], [detector.t_image, detector.t_image, low_y]
        axes.plot(corner_x, corner_y, color="black", linewidth=1, label="called out of context: below and left")
        axes.set(xlim=(low_x, None), ylim=(low_y, None))
    paper = metrics["paper"]
    accuracy, chance = paper["accuracy"]["value"], metrics["chance"]["accuracy"]["value"]
    title = f"Second captions: AUC {paper['auc']['value']:.3f}, accuracy {accuracy:.1%} (chance {chance:.0%})"
    plain_axes(axes, title, "caption 1 ~ caption 2", "image ~ caption 2")
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)
