"""A fit of canonical similarity analysis as one module of sentence-transformers.

This file travels with an exported model and imports nothing of csa before `load` has found the code
that travels beside it.
"""

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.base.modules import InputModule

_ITEMS = "csa_items"
_ROLES = ("query", "document")  # tasks of `encode_query` and `encode_document`, of either view
_FILES = ("csa.zip", "alignment.safetensors", "calibration.safetensors", "scoring.json")


class CSAModule(InputModule):
    """Texts and items of the other view in, index vectors out; their dot products are the scores.

    `encode(items)` sees by the items which view they are of, also as {"image": picture} or
    {"audio": {"array": samples, "sampling_rate": rate}}; where both views are of one kind,
    `encode(items, task=VIEW)` says it.
    """

    save_in_root = False
    forward_kwargs = {"task"}  # noqa: RUF012 (as the base class has it)

    def __init__(self, folder: Path):
        super().__init__()  # type: ignore[no-untyped-call]
        archive = folder / "csa.zip"
        if "csa" not in sys.modules and archive.is_file():
            sys.path.insert(0, str(archive))
        # transformers looks for every module that an import statement here names before it runs it
        scorer = importlib.import_module("csa.scoring.scorer").Scorer
        self.folder = folder
        self.scorer = scorer.read(folder)
        for name, view in self.scorer.views.items():
            if (folder / f"weights_{name}").is_dir():
                view.weights_from(folder / f"weights_{name}")

    @classmethod
    def load(
        cls, model_name_or_path: str, subfolder: str = "", *args: Any, **where: Any
    ) -> "CSAModule":
        """From the folder of an exported model, or its repository on the Hub."""
        known = ("token", "cache_folder", "revision", "local_files_only")
        options = {key: where[key] for key in known if key in where}
        folder = cls.load_dir_path(model_name_or_path, subfolder=subfolder, **options)
        return cls(Path(str(folder)))

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write all that `load` reads; this file lies beside the module's folder."""
        shutil.copyfile(__file__, Path(output_path).parent / "csa_module.py")
        for name in _FILES:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, Path(output_path) / name)
        for weights in self.folder.glob("weights_*"):
            shutil.copytree(weights, Path(output_path) / weights.name, dirs_exist_ok=True)

    @property
    def modalities(self) -> list[Any]:
        """Kinds of items that are taken."""
        return list(dict.fromkeys(view.modality for view in self.scorer.views.values()))

    def get_embedding_dimension(self) -> int:
        """Length of the vectors."""
        import numpy as np

        first = self.scorer.names[0]
        ones = np.ones((1, self.scorer.views[first].dimension))
        return int(self.scorer.vectors(first, ones).shape[1])

    def preprocess(self, inputs: Any, prompt: str | None = None, **told: Any) -> dict[str, Any]:
        """Items with the view that they are of."""
        return {_ITEMS: [self._seen(item, told.get("task")) for item in inputs]}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Index vectors, float32, in order."""
        rows: dict[int, Any] = {}
        for view in self.scorer.names:
            mine = [i for i, (name, _) in enumerate(features[_ITEMS]) if name == view]
            if mine:
                items = [features[_ITEMS][i][1] for i in mine]
                encoded = self.scorer.views[view].encoder.encode(items)
                rows.update(zip(mine, self.scorer.vectors(view, encoded), strict=True))
        ordered = [torch.as_tensor(rows[i], dtype=torch.float32) for i in range(len(rows))]
        features["sentence_embedding"] = torch.stack(ordered)
        return features

    def _seen(self, item: Any, task: str | None) -> tuple[str, Any]:
        """The view that an item is of, and the item as the view's encoder takes it."""
        if task not in (None, *_ROLES, *self.scorer.names):
            raise ValueError(f"task is {task!r}; it is one of {', '.join(self.scorer.names)}")
        modality = "text" if isinstance(item, str) else None
        if isinstance(item, dict) and len(item) == 1:
            ((modality, item),) = item.items()
        able = [
            name
            for name, view in self.scorer.views.items()
            if (view.modality != "text" if modality is None else view.modality == modality)
        ]
        if task in able:
            able = [str(task)]
        if len(able) != 1:
            raise ValueError(
                f"{len(able)} views take an item like this ({modality or type(item).__name__}); "
                f"say task=VIEW, one of {', '.join(self.scorer.names)}"
            )
        return able[0], _as_taken(item)


def _as_taken(item: Any) -> Any:
    """A picture upright and in RGB; a sound with its rate as a recording of one channel."""
    if isinstance(item, dict) and {"array", "sampling_rate"} <= item.keys():
        import numpy as np

        samples = np.asarray(item["array"], dtype=np.float32)
        samples = samples if samples.ndim == 1 else samples.mean(axis=int(np.argmin(samples.shape)))
        recording = importlib.import_module("csa.modalities.audio").Recording
        return recording(samples, int(item["sampling_rate"]))
    if hasattr(item, "getexif"):
        item = importlib.import_module("PIL.ImageOps").exif_transpose(item)  # upright
    return item.convert("RGB") if getattr(item, "mode", "RGB") != "RGB" else item
