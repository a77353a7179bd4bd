"""The registered model, as MLflow loads it: this file and an alignment in safetensors. Nothing
is unpickled.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

import csa
from csa.errors import InputError


class AlignmentModel(PythonModel):
    """Two feature columns give the score of each pair; one gives its canonical coordinates."""

    def load_context(self, context: Any) -> None:
        """Read the alignment and the names of its two views."""
        self.alignment = csa.load(context.artifacts["alignment"])
        self.views: list[str] = context.model_config["views"]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """Score pairs, or map one view.

        Args:
            context: MLflow's; unused.
            model_input: n rows; one column per view that is given, named as the view, each cell a
                feature vector.
            params: MLflow's; unused.

        Returns:
            Scores, shape (n,), when both views are given; canonical coordinates, shape (n, r), when
            one is.

        Raises:
            InputError: no column is named as a view.
            FeatureError: vectors of a wrong length, or NaN.
        """
        first, second = (
            np.stack(model_input[view].to_list()) if view in model_input else None
            for view in self.views
        )
        if first is None and second is None:
            raise InputError(
                f"give a column {self.views[0]!r}, {self.views[1]!r} or both; got "
                f"{list(model_input.columns)}"
            )
        if first is None or second is None:
            return self.alignment.transform(X=first, Y=second)
        return self.alignment.score_pairs(first, second)


mlflow.models.set_model(AlignmentModel())
