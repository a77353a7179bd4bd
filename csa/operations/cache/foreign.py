"""Tables that somebody else wrote, read so that they cost no more than an honest one."""

from io import BytesIO

import polars as pl

from csa.storage.files import guarded, refuse_bomb


def read_foreign(
    name: str, content: bytes, row_bytes: int, columns: list[str] | None = None
) -> pl.DataFrame:
    """A Parquet table, or some columns of it.

    Args:
        name: what errors call it.
        content: the file's bytes.
        row_bytes: that a row takes at least.
        columns: that are read; None for all.

    Returns:
        The table.

    Raises:
        DataError: it is no such table, or promises far more than its size can hold.
    """
    with guarded(name, "Parquet"):
        rows = pl.scan_parquet(BytesIO(content)).select(pl.len()).collect().item()
        refuse_bomb(name, rows * row_bytes, len(content))
        return pl.read_parquet(BytesIO(content), columns=columns)
