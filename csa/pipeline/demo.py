"""Stage `demo`: the built-in data set."""

from typing import Any

from csa.datasets.openmoji import build_demo
from csa.params.data import DatasetParams
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


def demo_stage(ws: Workspace) -> dict[str, Any]:
    """Render the built-in data set into data/openmoji."""
    dataset: DatasetParams = Params.load(ws.params_file).dataset
    return {"images": build_demo(ws.data / "openmoji", dataset.language)}
