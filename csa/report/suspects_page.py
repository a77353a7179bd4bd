"""One self-contained page of suspected pairs: picture, given partner, better partner; no network needed to look at it."""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from csa.files import write_atomic

_THUMBNAIL = 240
_MEANING = (
    "In each of these pairs the two encoders see no more in common than in two strangers. It is mislabelled, or right in a way "
    "that the encoders do not see: look before you leave it out."
)


@dataclass(frozen=True)
class Suspect:
    """One pair as it is shown: its items and the partner that scores higher (pictures or texts), and what was found."""

    first: Any
    second: Any
    better: Any
    pair_id: str
    rank: int
    probability: float
    score: float
    better_score: float
    strangers_above: float


def write_page(path: Path, title: str, notes: list[str], views: tuple[str, str], suspects: list[Suspect]) -> None:
    """Write the page.

    Args:
        path: an HTML file.
        title: of the page.
        notes: a sentence each, shown above the pairs.
        views: names of the first and the second view.
        suspects: most suspect first.
    """
    cards = "\n".join(_card(suspect, views) for suspect in suspects)
    lines = "".join(f"<p>{escape(note)}</p>" for note in notes)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1><p>{_MEANING}</p>{lines}\n<main>\n{cards}\n</main></body></html>\n"
    )
    write_atomic(path, page.encode())


def _card(suspect: Suspect, views: tuple[str, str]) -> str:
    return (
        f'<article><div class="item">{_item(suspect.first)}</div><div class="facts">'
        f"<h2>{suspect.rank}. stranger-like: {suspect.probability:.0%}</h2>"
        f'<div class="given"><b>given {escape(views[1])}</b> scores {suspect.score:.2f}{_item(suspect.second)}</div>'
        f'<div class="better"><b>higher {escape(views[1])}</b> scores {suspect.better_score:.2f}{_item(suspect.better)}</div>'
        f'<p class="id">{suspect.strangers_above:.1%} of strangers score as high · <code>{escape(suspect.pair_id)}</code></p>'
        "</div></article>"
    )


def _item(item: Any) -> str:
    """A text as text, a picture as a thumbnail."""
    if isinstance(item, str):
        return f"<blockquote>{escape(item)}</blockquote>"
    small = item.convert("RGB")
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=82)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}">'


_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2127; --quiet: #667; --line: #d9dce2; --bad: #b3431f; --good: #2e7d4f }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e6e8ec; --quiet: #9aa1ad; --line: #343a44; --bad: #ef9a74; --good: #78cf9c }
}
body { margin: 1.5rem auto; max-width: 76rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin: 0 0 .4rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 1rem }
article { display: flex; gap: 1rem; border: 1px solid var(--line); border-radius: 8px; padding: .8rem }
article > .item { flex: 0 0 38% } .facts { min-width: 0; flex: 1 }
img { max-width: 100%; height: auto; border-radius: 4px; background: #fff }
blockquote { margin: .1rem 0 .6rem; overflow-wrap: anywhere } .given b { color: var(--bad) } .better b { color: var(--good) }
.id { color: var(--quiet); font-size: .85rem; margin: 0; overflow-wrap: anywhere }
"""
