"""Figures draw captions in any script that a font of the machine has."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image

from csa.figures.sheet import Result, Row, draw_sheet

# cuneiform, Anatolian, Mro: no font in common use has all three
LETTERS = "\U00012000\U00014400\U00016a40"


@pytest.fixture
def blocks_font(tmp_path: Path):
    """A font whose letters are full black squares, known to matplotlib for the test's time."""
    pen = TTGlyphPen(None)
    for move, point in (
        ("moveTo", (0, -200)),
        ("lineTo", (0, 800)),
        ("lineTo", (1000, 800)),
        ("lineTo", (1000, -200)),
    ):
        getattr(pen, move)(point)
    pen.closePath()
    square = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(letter): "square" for letter in LETTERS})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Test Squares", "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(tmp_path / "squares.ttf")
    fontManager.addfont(tmp_path / "squares.ttf")
    yield
    fontManager.ttflist.pop()


def _ink(path: Path, query: str) -> int:
    """Dark pixels inside the query's cell."""
    draw_sheet([Row(query, [Result("answer", 1.0)])], "", path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    return int((pixels[20:-30, 10 : pixels.shape[1] // 3] < 60).sum())


def test_a_caption_is_drawn_in_a_font_that_has_its_letters(tmp_path, blocks_font, recwarn):
    empty, drawn = _ink(tmp_path / "one.png", "."), _ink(tmp_path / "two.png", LETTERS)
    assert drawn > empty + 300  # three boxes in place of the letters have half of that
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_letters_that_no_font_has_are_no_warning(tmp_path, recwarn):
    draw_sheet([Row(LETTERS + "\U0010fffd", [Result("answer", 1.0)])], "", tmp_path / "sheet.png")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_long_text_without_spaces_is_broken_and_cut(tmp_path, monkeypatch):
    from csa.figures import sheet

    shown: list[str] = []
    monkeypatch.setattr(
        sheet,
        "save_png",
        lambda figure, path: shown.extend(
            text.get_text() for axes in figure.axes for text in axes.texts
        ),
    )
    draw_sheet([Row("雪" * 200, [Result("two dogs in the snow", 1.0)])], "", tmp_path / "sheet.png")
    lines = shown[0].splitlines()
    assert len(lines) == 7 and lines[-1].endswith("…") and all(0 < len(line) <= 8 for line in lines)
    assert "two dogs in the\nsnow" in shown
