"""Rows as a table can hold them."""

from csa.datasets.rows import RawPair


def tidy(row: RawPair, texts: dict[str, bool]) -> str:
    """Write a row as the table holds it.

    Blank cells become None; space around a text goes, because it would make the same caption
    another item.

    Args:
        row: as a reader found it; changed in place.
        texts: view -> whether it is of texts.

    Returns:
        Why the table cannot hold the row; "" if it can.
    """
    given = row.values
    row.values = values = {
        view: value.strip() if is_text and value is not None else value
        for view, is_text in texts.items()
        for value in (given.get(view),)
    }
    row.pair_id, row.group = _some(row.pair_id), _some(row.group)
    row.split, row.label = _some(row.split), _some(row.label)
    own = (row.pair_id, row.group, row.split, row.label)
    written = "\n".join([cell for cell in (*own, *values.values()) if cell])
    fault = "" if written.isascii() else _unwritable(written)
    if fault:
        row.pair_id, row.group, row.split, row.label = map(escaped, own)
        row.values = {view: escaped(value) for view, value in values.items()}
    if not row.place.isascii():
        row.place = escaped(row.place) or ""
    return fault


def _unwritable(written: str) -> str:
    """Why no table can hold the cells of a row: half of a surrogate pair, from an escape in JSON or
    a file name in another encoding; "" if one can.
    """
    try:
        written.encode()
    except UnicodeEncodeError:
        cells = written.split("\n")
        return f"{cells!a} is not valid Unicode; write the text, or name the file, in UTF-8"
    return ""


def escaped(cell: str | None) -> str | None:
    """A cell as a table can hold it: what is no valid Unicode becomes an escape."""
    return cell and cell.encode("utf-8", "backslashreplace").decode()


def _some(cell: str | None) -> str | None:
    return (cell.strip() or None) if cell else None
