"""The data of a workspace as it is evaluated: held-out pairs, and items loaded again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csa.datasets.items import item_loader
from csa.datasets.roots import dataset_root
from csa.evaluation.held_out import HeldOut
from csa.params.data import DatasetParams
from csa.params.views import ViewParams
from csa.pipeline.data import PipelineData


@dataclass(frozen=True)
class EvaluationData(PipelineData):
    """The data of a workspace, with what an evaluation needs besides."""

    def held_out(self) -> HeldOut:
        """The held-out pairs with their features."""
        return HeldOut.of(
            self.pairs,
            self.params.view_names,
            self.feature_tables,
            self.params.evaluate.queries,
        )

    def loaders(self) -> dict[str, Callable[[str], Any]]:
        """View -> what turns a value of the pairs table into an item."""
        dataset: DatasetParams = self.params.dataset
        views: dict[str, ViewParams] = self.params.views
        root = dataset_root(dataset, self.ws.root)
        return {
            name: item_loader(view, root, dataset.max_image_pixels) for name, view in views.items()
        }
