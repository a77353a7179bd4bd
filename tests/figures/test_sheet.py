"""What a sheet shows, and where."""

import numpy as np
from PIL import Image

from csa.figures.sheet import Result, Row, draw_grid, draw_sheet


def drawn(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_line_below_an_item_is_text_and_no_formula(tmp_path):
    draw_grid([("a text", "from $a_$ to $b^$")], "$^$", tmp_path / "grid.png")
    assert (drawn(tmp_path / "grid.png") < 128).any()


def test_a_picture_is_shown_whole_and_in_its_proportions(tmp_path):
    wide = Image.new("RGB", (300, 100), (255, 0, 0))
    row = Row(wide, [Result("a text", 1.0, right=True)], "rank 1")
    draw_sheet([row, row], "A title", tmp_path / "sheet.png")
    found = drawn(tmp_path / "sheet.png")
    red = (found[:, :, 0] > 250) & (found[:, :, 1:].max(axis=2) < 5)
    columns, rows = np.flatnonzero(red.any(axis=0)), np.flatnonzero(red.any(axis=1))
    first = rows[rows < rows[0] + len(columns)]
    assert len(columns) == columns[-1] - columns[0] + 1 and columns[-1] < found.shape[1] / 2
    assert abs(len(columns) / len(first) - 3) < 0.1
    assert len(rows) == 2 * len(first), "each of the two rows has it"
