"""`csa suggest-pairs`: which unpaired items to find partners for next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.representative import representative
from csa.datasets.pairs_table import read_written
from csa.errors import InputError
from csa.features.shards import FeatureTable
from csa.modalities.registry import MODALITIES
from csa.pipeline.data import PipelineData
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic

# Of a larger pool a sample is looked at, the items of the smallest hashes: 100 MB of cosines.
_MOST = 5000
_SHOWN_ID = 12


@dataclass(frozen=True, eq=False)
class Suggested:
    """Items to find partners for, the most telling first.

    Attributes:
        view, other: names of their view and of the partners'.
        items: columns id, which is the item's hash, and VIEW: its path, its text or its row.
        pool: how many unpaired items there are.
        looked_at: how many of them were compared.
        labelled: how many items of the view have a partner to train on.
    """

    view: str
    other: str
    items: pl.DataFrame
    pool: int
    looked_at: int
    labelled: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "view": self.view,
            "pool": self.pool,
            "looked_at": self.looked_at,
            "labelled": self.labelled,
            "items": self.items.to_dicts(),
        }

    def write(self, path: Path) -> None:
        """Write the items as a table in which the column of the partners is empty.

        Args:
            path: of the CSV file.
        """
        blank = self.items.with_columns(pl.lit("").alias(self.other))
        write_atomic(path, blank.write_csv().encode())

    def __str__(self) -> str:
        sample = (
            "" if self.looked_at == self.pool else f", of which {self.looked_at:,} were compared"
        )
        lines = [
            f"{len(self.items):,} of {self.pool:,} unpaired {self.view} items{sample}, the most "
            f"telling first beside {self.labelled:,} that have a partner"
        ]
        lines += [
            f"{rank:>4}  {item[:_SHOWN_ID]}  {value}"
            for rank, (item, value) in enumerate(self.items.rows(), 1)
        ]
        return "\n".join(lines)


def suggest(ws: Workspace, view: str, count: int) -> Suggested:
    """Choose the unpaired items of a view that stand best for those that nothing labelled is near.

    Args:
        ws: that was run.
        view: the name of the view.
        count: how many items.

    Returns:
        The items; all there are where these are fewer.

    Raises:
        InputError: the parameters name no unpaired items of the view.
        ArtifactError: the workspace was not run, or a file is damaged.
    """
    data = PipelineData(ws)
    dataset, views = data.params.dataset, data.params.view_names
    if view not in dataset.unpaired:
        raise InputError(
            f"{view!r}: dataset.unpaired in params.yaml names no items of such a view; it has "
            f"{', '.join(dataset.unpaired) or 'none'}"
        )
    pool = FeatureTable.read(ws.unpaired(view))
    compared = sorted(pool.items)[:_MOST]
    labelled = data.pairs.filter(pl.col("split") == "train")[f"{view}_hash"].unique().sort()
    rows = representative(pool.rows(compared), data.features(view).rows(labelled.to_list()), count)
    value_of = dict(read_written(ws.unpaired_items(view)).select(f"{view}_hash", view).rows())
    chosen = [compared[row] for row in rows]
    source = ws.root / Path(dataset.unpaired[view]).expanduser()
    folder = source if source.is_dir() else source.parent
    is_file = bool(MODALITIES[data.params.views[view].modality].suffixes)
    shown = [_path(folder / value_of[item]) if is_file else value_of[item] for item in chosen]
    return Suggested(
        view,
        next(name for name in views if name != view),
        pl.DataFrame({"id": chosen, view: shown}, schema={"id": pl.String, view: pl.String}),
        len(pool.items),
        len(compared),
        len(labelled),
    )


def _path(path: Path) -> str:
    """As short as it can be opened by from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
