"""Reader `arrays`: two files of features computed elsewhere, row i of one belonging to row i of
the other.
"""

from pathlib import Path

from csa.datasets.containers import inside
from csa.datasets.readers.table import array_values
from csa.datasets.rows import RawPair, Source, read_lines
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_COLUMNS = ("id", "group", "split", "label")


def read_arrays(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read the two files of `dataset.arrays`, and what `dataset.columns` adds.

    `dataset.columns` gives a text file each for id, group, split and label, one line a row. Without
    ids, the id is the row's number, counted from 0 as numpy does.

    Raises:
        DataError: a view that is no array, a file that is unusable, or a number of rows that
            differs.
    """
    others = [view for view in views if view not in params.arrays]
    if others:
        raise DataError(
            f"dataset.kind arrays needs a features file for every view; dataset.arrays lacks "
            f"{', '.join(others)}"
        )
    values = array_values(params, None, "", path)
    height = len(next(iter(values.values())))
    lines: dict[str, list[str]] = {}
    for name, file in params.columns.items():
        if name not in _COLUMNS:
            raise DataError(
                f"dataset.columns names {name!r}; dataset.kind arrays knows {', '.join(_COLUMNS)}"
            )
        lines[name] = read_lines(inside(path, file))
        if len(lines[name]) != height:
            raise DataError(
                f"{file} has {len(lines[name])} lines but the arrays have {height} rows; the "
                f"counts must agree"
            )
    group, split, label = (lines.get(name, [None] * height) for name in _COLUMNS[1:])
    ids = lines.get("id", [str(row) for row in range(height)])
    rows = [
        RawPair(
            f"row {i}",
            ids[i],
            {view: values[view][i] for view in views},
            group[i],
            split[i],
            label[i],
        )
        for i in range(height)
    ]
    return Source(rows)
