"""Folders of unpaired items that the parameters no longer name."""

import shutil

from csa.pipeline.workspace import Workspace


def drop_stale(ws: Workspace) -> None:
    """Remove them: a fit looks at all of `data/features`, and DVC leaves the outputs of stages that
    are gone.

    Args:
        ws: whose.

    Raises:
        ParamsError: there are such folders, and the parameters are not valid.
    """
    pools = ws.unpaired("any").parent
    if not pools.is_dir():
        return
    named = ws.params().dataset.unpaired
    for path in pools.iterdir():
        if path.name not in named:
            shutil.rmtree(path)
    if not named:
        pools.rmdir()
