"""The charts of the report, one function each; numbers in, an inline SVG out."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.diagnostics import null_edge
from csa.figures.style import BAD, FIRST, GOOD, INK, MUTED, SECOND, THIRD, Chart, chart, drawn

_NAMED_CLASSES = 40
_SPREAD = 0.7  # of the kinds of decision around their place on the axis
_APART = 1.6  # ticks of a logarithmic axis that are closer would run into each other
_OTHERS = (SECOND, THIRD, GOOD, MUTED, BAD)
_COLOURS = (FIRST, SECOND, THIRD, GOOD, BAD)


def spectrum_chart(
    training: NDArray[Any], weights: NDArray[Any], groups: int, dimensions: tuple[int, int]
) -> Chart:
    """Correlations in the training pairs against the weights that held-out folds confirm, with what
    chance gives of either.

    Args:
        training: correlation of each component over the training pairs.
        weights: of the components in the score.
        groups: independent items behind the training pairs.
        dimensions: (p, q) of the prepared features.
    """
    edge, noise = null_edge(groups, *dimensions), 3 / np.sqrt(groups)
    n, r = np.arange(1, len(training) + 1), np.arange(1, len(weights) + 1)
    with drawn() as (figure, axes):
        axes.fill_between(
            r,
            weights,
            training[: len(weights)],
            color=MUTED,
            alpha=0.13,
            linewidth=0,
            label="overfit gap",
        )
        axes.plot(n, training, color=MUTED, label="in the training pairs")
        axes.plot(r, weights, color=FIRST, linewidth=2.2, label="held-out weights")
        if edge < 1:
            axes.axhline(
                edge,
                color=BAD,
                linewidth=1,
                linestyle="--",
                label=f"null edge, unshrunk ({edge:.2f})",
            )
        axes.axhline(
            noise,
            color=GOOD,
            linewidth=1,
            linestyle=":",
            label=f"noise of held-out weights ({noise:.2f})",
        )
        axes.set(
            xlim=(1, max(len(training), 2)),
            ylim=(0, 1.02),
            xlabel="canonical component",
            ylabel="correlation",
        )
        legend(figure)
        description = (
            f"Training correlations fall from {training[0]:.2f} to {training[-1]:.2f} over "
            f"{len(training)} components; "
            f"held-out weights from {weights[0]:.2f} to {weights[-1]:.2f} over {len(weights)}."
        )
        return chart(figure, "spectrum", "Canonical correlations", description)


def recall_chart(queries: pl.DataFrame) -> Chart:
    """Share of queries whose right answer is among the first k, for every k and both directions,
    beside chance.
    """
    said = []
    with drawn() as (figure, axes):
        for number, ((name,), part) in enumerate(
            queries.group_by("direction", maintain_order=True)
        ):
            rank, gallery = np.sort(part["rank"].to_numpy()), int(part["gallery"][0])
            k = np.unique(np.geomspace(1, gallery, 90).round().astype(int))
            recall, label = np.searchsorted(rank, k, side="right") / len(rank), arrow(str(name))
            axes.plot(k, recall, color=_COLOURS[number], label=label)
            axes.plot(k, k / gallery, color=_COLOURS[number], linestyle=":", linewidth=1)
            said.append(
                f"{label}: half of the queries have their answer among the first "
                f"{int(np.median(rank))} of {gallery:,}."
            )
        axes.plot([], [], color=MUTED, linestyle=":", linewidth=1, label="chance, one right answer")
        axes.set(ylim=(0, 1.02), xlabel="k, log scale", ylabel="recall at k")
        logarithmic(axes)
        legend(figure)
        return chart(figure, "recall", "Recall at k", " ".join(said))


def mismatch_chart(pairs: pl.DataFrame) -> Chart:
    """Scores of held-out pairs against scores of the same items with a stranger's partner."""
    true, wrong = pairs["score"].to_numpy(), strangers(pairs)
    low, high = np.quantile(np.concatenate([true, wrong]), [0.005, 0.995])
    bins = np.linspace(low, high, 41)
    with drawn() as (figure, axes):
        for scores, colour, label in (
            (wrong, SECOND, "mismatched pairs"),
            (true, FIRST, "true pairs"),
        ):
            counts, _ = np.histogram(np.clip(scores, low, high), bins)
            axes.stairs(counts, bins, fill=True, color=colour, alpha=0.3)
            axes.stairs(counts, bins, color=colour, linewidth=1.5, label=label)
        axes.set(xlim=(low, high), xlabel="score", ylabel="held-out pairs")
        legend(figure)
        description = (
            f"The median true pair scores {np.median(true):.2f}, the median mismatched "
            f"pair {np.median(wrong):.2f}."
        )
        return chart(figure, "mismatch", "Scores of true and mismatched pairs", description)


def strangers(pairs: pl.DataFrame) -> NDArray[Any]:
    """Scores of mismatched pairs; an item for which no stranger could be found has none."""
    scores: NDArray[Any] = pairs["stranger_score"].drop_nulls().drop_nans().to_numpy()
    return scores


def recalls_chart(tables: list[pl.DataFrame], names: tuple[str, str], direction: str) -> Chart:
    """Recall at k of two versions in one direction."""
    medians = []
    with drawn() as (figure, axes):
        for queries, name, colour in zip(tables, names, (MUTED, FIRST), strict=True):
            rank = np.sort(queries["rank"].to_numpy())
            k = np.unique(np.geomspace(1, int(queries["gallery"][0]), 90).round().astype(int))
            axes.plot(
                k, np.searchsorted(rank, k, side="right") / len(rank), color=colour, label=name
            )
            medians.append(f"{np.median(rank):g} with {name}")
        axes.set(ylim=(0, 1.02), xlabel="k, log scale", ylabel="recall at k")
        logarithmic(axes)
        legend(figure)
        return chart(
            figure,
            f"recall-{direction}",
            arrow(direction),
            f"The median rank is {' and '.join(medians)}.",
        )


def forest_chart(rows: list[dict[str, Any]], unit: str) -> Chart:
    """Paired differences with their intervals, a row each; right of the line the second version is
    better.

    Args:
        rows: label, difference, low, high.
        unit: of the differences.
    """
    y = np.arange(len(rows))[::-1]
    with drawn(430, 50 + 24 * len(rows)) as (figure, axes):
        axes.axvline(0, color=INK, linewidth=1)
        for place, row in zip(y, rows, strict=True):
            colour = GOOD if row["low"] > 0 else BAD if row["high"] < 0 else MUTED
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
            axes.plot([row["difference"]], [place], "o", color=colour, markersize=5.5)
        axes.set(
            yticks=y,
            yticklabels=[row["label"] for row in rows],
            ylim=(-0.6, len(rows) - 0.4),
            xlabel=unit,
        )
        axes.locator_params(axis="x", nbins=6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        said = (
            f"{row['label']}: {row['difference']:+.4f}, from {row['low']:+.4f} to "
            f"{row['high']:+.4f}"
            for row in rows
        )
        return chart(figure, "forest", "Paired differences", "; ".join(said) + ".")


def legend(figure: Any) -> None:
    """Above the axes, where it hides nothing."""
    figure.legend(loc="outside upper left", ncols=2, columnspacing=1.4, handlelength=1.6)


def class_chart(name: str, labels: list[str], top_1: NDArray[Any]) -> Chart:
    """Top-1 of every class, the best first: bars with names where they are few, else a curve.

    Args:
        name: of the chart, a word of its own on the page.
        labels: of the classes.
        top_1: share of each class's images that were put there.
    """
    order = np.argsort(-top_1, kind="stable")
    values, few = top_1[order], len(labels) <= _NAMED_CLASSES
    none, whole = (f"{np.mean(top_1 == value):.0%}" for value in (0, 1))
    description = (
        f"{len(labels):,} classes; {none} of them have no image put right, {whole} all of them."
    )
    with drawn(height=60 + 17 * len(labels) if few else 255) as (figure, axes):
        if few:
            axes.barh(np.arange(len(values)), values, color=FIRST, alpha=0.75, height=0.62)
            axes.set(
                yticks=range(len(values)),
                yticklabels=[clipped(labels[i]) for i in order],
                xlim=(0, 1),
                xlabel="top-1",
            )
            axes.invert_yaxis()
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="y", visible=False)
        else:
            axes.fill_between(
                np.arange(len(values)), values, step="mid", color=FIRST, alpha=0.3, linewidth=0
            )
            axes.step(np.arange(len(values)), values, where="mid", color=FIRST, linewidth=1.4)
            axes.set(
                xlim=(0, len(values) - 1),
                ylim=(0, 1.02),
                xlabel="class, the best first",
                ylabel="top-1",
            )
        return chart(figure, name, "Top-1 of every class", description)


def coverage_chart(name: str, curve: pl.DataFrame) -> Chart:
    """Measured coverage of each kind of decision against what was promised.

    Args:
        name: of the chart, a word of its own on the page.
        curve: rows of kind, alpha, coverage, low, high.
    """
    said = []
    kinds = [str(kind) for kind in curve["kind"].unique(maintain_order=True)]
    alphas = sorted(curve["alpha"].unique(), reverse=True)
    with drawn() as (figure, axes):
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1)
        for k, (kind, colour) in enumerate(zip(kinds, _COLOURS, strict=False)):
            part, label = (
                curve.filter(pl.col("kind") == kind).sort("alpha", descending=True),
                arrow(kind),
            )
            place = np.arange(len(part)) + _SPREAD * (k - (len(kinds) - 1) / 2) / len(kinds)
            value, low, high = (
                100 * (part[name] - 1 + part["alpha"]).to_numpy()
                for name in ("coverage", "low", "high")
            )
            axes.vlines(place, low, high, color=colour, linewidth=1.3, alpha=0.55)
            axes.plot(place, value, "o", color=colour, markersize=3.4, label=label)
            said.append(
                f"{label}: at worst {max(-value.min(), 0.0):.1f} points below what was promised."
            )
        axes.set(xlabel="promised coverage, %", ylabel="points above the promise")
        axes.set_xticks(range(len(alphas)), [f"{100 * (1 - alpha):.3g}" for alpha in alphas])
        axes.grid(axis="x", visible=False)
        legend(figure)
        return chart(figure, name, "Does the promise hold?", " ".join(said))


def sweep_chart(
    name: str,
    title: str,
    curves: dict[str, list[tuple[float, float, float, float]]],
    labels: dict[str, str],
    x: str,
    log: bool,
) -> Chart:
    """Recall at 1 of every method against how many pairs it had, or how many were shuffled.

    Args:
        name: of the chart, a word of its own on the page.
        title: one line.
        curves: method -> (place, value, low, high).
        labels: method -> what people call it.
        x: label of the axis.
        log: whether that axis is logarithmic.
    """
    said = []
    with drawn(height=310) as (figure, axes):
        for number, (method, points) in enumerate(curves.items()):
            place, value, low, high = (np.array(column) for column in zip(*points, strict=True))
            colour, line = (
                (FIRST, "-") if method == "csa" else (_OTHERS[number % len(_OTHERS)], "--")
            )
            if method == "csa":  # five bands over each other would hide the lines
                axes.fill_between(place, low, high, color=colour, alpha=0.14, linewidth=0)
            label = labels[method].partition(",")[0]
            axes.plot(
                place,
                value,
                line,
                color=colour,
                marker="o",
                markersize=3,
                linewidth=1.5,
                label=label,
            )
            said.append(
                f"{label}: {value[0]:.3f} at {place[0]:g}, {value[-1]:.3f} at {place[-1]:g}."
            )
        axes.set(ylim=(0, None), xlabel=x, ylabel="R@1")
        if log:
            logarithmic(axes, sorted({point[0] for points in curves.values() for point in points}))
        legend(figure)
        return chart(figure, name, title, " ".join(said))


def logarithmic(axes: Any, ticks: list[float] | None = None) -> None:
    """A logarithmic x axis with plain numbers, at the given places or at the powers of ten."""
    axes.set_xscale("log")
    if ticks is not None:
        axes.set_xticks(
            [place for k, place in enumerate(ticks) if not k or place >= _APART * ticks[k - 1]]
        )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")


def clipped(label: str, most: int = 26) -> str:
    """A label that fits beside an axis."""
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"


def arrow(direction: str) -> str:
    """`image_to_text` as people read it."""
    return direction.replace("_to_", " → ")
