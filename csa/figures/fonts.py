"""Fonts for captions in any script: a figure's own font has no Chinese, Japanese, Korean or
Devanagari.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN = "DejaVu Sans"
# Draws a placeholder for everything, as a last resort that is no better than none.
_PLACEHOLDERS = "Last Resort High-Efficiency"


@contextmanager
def readable(figure: "Figure") -> Iterator[None]:
    """Within it the figure's text is drawn in the fonts of this machine that have its letters;
    what none has stays a box.
    """
    from matplotlib.text import Text

    texts = [artist for artist in figure.findobj(Text) if isinstance(artist, Text)]
    families = _families(frozenset("".join(text.get_text() for text in texts)))
    if len(families) > 1:
        for text in texts:
            text.set_fontfamily(families)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _families(letters: frozenset[str]) -> list[str]:
    """The figures' own font, then in turn the one that has most of the letters still missing,
    those named Sans first.
    """
    from matplotlib.font_manager import fontManager

    families, missing = [_OWN], {ord(letter) for letter in letters if letter.isprintable()}
    missing -= _letters_of(fontManager.findfont(_OWN), 0)
    fonts = {
        entry.name: _letters_of(entry.fname, getattr(entry, "index", 0))
        for entry in (fontManager.ttflist if missing else ())
        if entry.style == "normal"
        and entry.weight in (400, "normal")
        and entry.name != _PLACEHOLDERS
    }
    while missing:
        best = max(
            fonts,
            key=lambda name: (len(missing & fonts[name]), "Sans" in name, "Mono" not in name, name),
        )
        if not missing & fonts[best]:
            break
        families.append(best)
        missing -= fonts[best]
    return families


@cache
def _letters_of(file: str, index: int) -> frozenset[int]:
    """Code points that a font has; none if its letters are pictures of one size."""
    from matplotlib.ft2font import FT2Font

    # matplotlib before 3.11 opens the first face of a file alone
    font = FT2Font(file, face_index=index) if index else FT2Font(file)
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
