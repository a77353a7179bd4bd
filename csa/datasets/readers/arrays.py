"""Reader `arrays`: two files of features computed elsewhere, row i of one belonging to row i of
the other.
"""

from csa.datasets.array_files import array_rows
from csa.datasets.reading import Reading
from csa.datasets.rows import RawPair, read_lines
from csa.errors import DataError

_COLUMNS = ("id", "group", "split", "label")


def read_arrays(reading: Reading) -> None:
    """Read the two files of `dataset.arrays`, and what `dataset.columns` adds.

    `dataset.columns` gives a text file each for id, group, split and label, one line a row; for a
    view it says which columns of its Parquet file are dimensions. Without ids, the id is the row's
    number, counted from 0 as numpy does.

    Raises:
        DataError: a view that is no array, a file that is unusable, or a number of rows that
            differs.
    """
    params = reading.params
    others = [view for view in reading.views if view not in params.arrays]
    if others:
        raise DataError(
            f"dataset.kind arrays needs a features file for every view; dataset.arrays lacks "
            f"{', '.join(others)}"
        )
    values = array_rows(reading, None, "")
    height = len(next(iter(values.values())))
    lines = {
        name: _lines(reading, name, height) for name in params.columns if name not in reading.views
    }
    group, split, label = (lines.get(name, [None] * height) for name in _COLUMNS[1:])
    ids = lines.get("id", [str(row) for row in range(height)])

    def pair(place: str, i: int) -> list[RawPair]:
        of_views = {view: values[view][i] for view in reading.views}
        return [RawPair(place, ids[i], of_views, group[i], split[i], label[i])]

    reading.take("rows", ((f"row {i}", i) for i in range(height)), pair)


def _lines(reading: Reading, name: str, height: int) -> list[str]:
    """One line a row; blank lines at the end that belong to no row are dropped."""
    file = reading.params.columns[name]
    if name not in _COLUMNS:
        raise DataError(
            f"dataset.columns names {name!r}; dataset.kind arrays knows {', '.join(_COLUMNS)}"
        )
    lines = read_lines(reading.open(file))
    while len(lines) > height and not lines[-1].strip():
        lines.pop()
    if len(lines) != height:
        raise DataError(
            f"{file} has {len(lines)} lines but the arrays have {height} rows; the "
            f"counts must agree"
        )
    return lines
