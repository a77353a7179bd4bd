"""The registered model, as MLflow loads it: this file, the code it needs in code/csa.zip, and
files that hold no code. Nothing is unpickled.
"""

import os
import sys
from pathlib import Path
from typing import Any

# The code that travels with the model comes before any other package of that name. From an archive
# Python reads modules without writing beside them, so the registered files stay as they are.
_CODE = Path(__file__).with_name("code") / "csa.zip"
if "csa" not in sys.modules and _CODE.is_file():
    sys.path.insert(0, str(_CODE))

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.pyfunc.model import PythonModel  # noqa: E402

from csa.scoring.batch import Asked, answer  # noqa: E402
from csa.scoring.cells import Limits  # noqa: E402
from csa.scoring.scorer import Scorer  # noqa: E402


class AlignmentModel(PythonModel):
    """Pairs, items or their features in; scores, vectors, results or labels out.

    `mlflow.pyfunc.load_model(..., model_config=...)` takes `files_from`, a folder whose items may
    be named by path (none by default), `encoders`, view -> folder of its encoder's files, and
    `device`, where encoders run (auto, cpu, cuda, cuda:N or mps); the variable CSA_DEVICE too.
    """

    def load_context(self, context: Any) -> None:
        """Read the model's files."""
        folder = Path(context.artifacts["alignment"]).parent
        config = context.model_config or {}
        device = config.get("device") or os.environ.get("CSA_DEVICE", "auto")
        self.scorer = Scorer.read(folder, device)
        for view, name in config.get("weights", {}).items():
            self.scorer.view(view).weights_from(folder / name)
        for view, name in (config.get("encoders") or {}).items():
            self.scorer.view(view).weights_from(Path(name))
        allowed = config.get("files_from")
        self.limits = Limits(
            self.scorer.max_pixels, folder=None if allowed is None else Path(allowed)
        )

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer a table.

        Args:
            context: MLflow's; unused.
            model_input: n rows; one column per view that is given, named as the view: texts, bytes
                of files (base64 in JSON), or feature vectors; empty cells where a row has none.
            params: task (auto, score, embed, search, classify), top_k, labels, alpha.

        Returns:
            n rows. Of score: score, p_match, p_mismatch, verdict. Of embed: the vectors, a column
            named as each given view; their inner products are the scores. Of search and classify:
            found, a list for each row.

        Raises:
            InputError: no column is named as a view, or a cell holds no item.
            FeatureError: vectors of a wrong length, or NaN.
        """
        names = self.scorer.names
        columns = {
            name: [_cell(cell) for cell in model_input[name]]
            if name in model_input
            else [None] * len(model_input)
            for name in names
        }
        asked = {key: value for key, value in (params or {}).items() if value is not None}
        if "labels" in asked:
            asked["labels"] = tuple(asked["labels"])
        return pd.DataFrame(answer(self.scorer, columns, Asked(**asked), self.limits))


def _cell(cell: Any) -> Any:
    """A cell as it was sent; pandas says NaN where nothing is."""
    return None if isinstance(cell, float) and np.isnan(cell) else cell


mlflow.models.set_model(AlignmentModel())
