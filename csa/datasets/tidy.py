"""Rows as a table can hold them."""

from csa.datasets.rows import RawPair


def tidy(row: RawPair, texts: dict[str, bool]) -> tuple[RawPair, str]:
    """A row as the table holds it.

    Blank cells become None; space around a text goes, because it would make the same caption
    another item.

    Args:
        row: as a reader found it.
        texts: view -> whether it is of texts.

    Returns:
        The row, and why the table cannot hold it ("" where it can).
    """
    given = row.values
    values = {
        view: value.strip() if is_text and value is not None else value
        for view, is_text in texts.items()
        for value in (given.get(view),)
    }
    own = [_some(row.pair_id), _some(row.group), _some(row.split), _some(row.label)]
    written = "\n".join([cell for cell in (*own, *values.values()) if cell])
    fault = "" if written.isascii() else _unwritable(written)
    if fault:
        own = [_escaped(cell) for cell in own]
        values = {view: _escaped(value) for view, value in values.items()}
    place = row.place if row.place.isascii() else _escaped(row.place) or ""
    return RawPair(place, own[0], values, own[1], own[2], own[3], row.mislabelled), fault


def _unwritable(written: str) -> str:
    """Why no table can hold the cells of a row: half of a surrogate pair, from an escape in JSON or
    a file name in another encoding; "" where one can.
    """
    try:
        written.encode()
    except UnicodeEncodeError:
        cells = written.split("\n")
        return f"{cells!a} is not valid Unicode; write the text, or name the file, in UTF-8"
    return ""


def _escaped(cell: str | None) -> str | None:
    return cell and cell.encode("utf-8", "backslashreplace").decode()


def _some(cell: str | None) -> str | None:
    return (cell.strip() or None) if cell else None
