"""Finding a transformers model: a local folder, or a model id whose revision is pinned. Nothing
is unpickled unguarded.
"""

import hashlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from csa.errors import EncoderError
from csa.params.views import ViewParams

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# What a model is read from; README and sample files make no difference to its features.
_READ = ("*.json", "*.txt", "*.model", "*.safetensors", "*/*.json", "*/*.safetensors")
_OLD_WEIGHTS = ("*.bin", "*/*.bin")


@dataclass(frozen=True)
class ModelFiles:
    """A model on disk.

    Attributes:
        name: what the user called it.
        folder: where its files are.
        revision: the pinned commit; None for a folder.
    """

    name: str
    folder: Path
    revision: str | None = None

    @cached_property
    def identity(self) -> str:
        """Of its content: the pinned commit, or a hash over its files."""
        return self.revision or hash_folder(self.folder)


def find_model(view: ViewParams, known: list[str]) -> ModelFiles:
    """The files of the model that a view names.

    A model id needs `revision`, a commit of 40 hex digits: a branch moves, and cached features
    would silently be another model's. Its files come from the hub's local cache, or are downloaded
    there unless HF_HUB_OFFLINE is set.

    Args:
        view: its encoder is a folder or a model id.
        known: names of built-in encoders, for the error.

    Returns:
        The model's name, its folder on this machine and what identifies its content.

    Raises:
        EncoderError: no such folder or model, no revision, or no network.
    """
    name = view.encoder
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(
                f"encoder {name!r}: no config.json in that folder; give a folder that "
                f"save_pretrained wrote"
            )
        return ModelFiles(name, folder)
    if not _MODEL_ID.fullmatch(name):
        raise EncoderError(
            f"unknown encoder {name!r}: neither built in ({', '.join(known)}), nor a folder, nor "
            f"a model id such as "
            "facebook/dinov2-base"
        )
    if view.revision is None or not _COMMIT.fullmatch(view.revision):
        raise EncoderError(
            f"encoder {name!r}: revision is {view.revision!r}; pin the commit of 40 hex digits, "
            f"so that features stay the same"
        )
    return ModelFiles(name, _download(name, view.revision), view.revision)


def is_elsewhere(view: ViewParams) -> bool:
    """Whether a view names a hub model that this machine does not have, so that loading it would
    download it.
    """
    from huggingface_hub import snapshot_download

    name = view.encoder
    if (
        Path(name).expanduser().is_dir()
        or not _MODEL_ID.fullmatch(name)
        or not _COMMIT.fullmatch(view.revision or "")
    ):
        return False
    try:
        snapshot_download(
            name, revision=view.revision, allow_patterns=list(_READ), local_files_only=True
        )
    except (OSError, ValueError):
        return True
    return False


def _download(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(_READ)))
        if not any(folder.glob("*.safetensors")):
            folder = Path(
                snapshot_download(name, revision=revision, allow_patterns=[*_READ, *_OLD_WEIGHTS])
            )
    except (OSError, ValueError) as error:  # the hub's errors are of these two kinds
        words = " ".join(str(error).split())[:200]
        raise EncoderError(
            f"encoder {name!r} at {revision[:12]}: cannot be fetched from the hub "
            f"({type(error).__name__}: {words}); "
            "check the name, the revision and the network, or give a local folder"
        ) from None
    return folder


def hash_folder(folder: Path) -> str:
    """The hash of all files that a model is read from."""
    digest = hashlib.sha256()
    files = sorted(
        {
            file
            for pattern in (*_READ, *_OLD_WEIGHTS)
            for file in folder.glob(pattern)
            if file.is_file()
        }
    )
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(bytes.fromhex(hash_file(file)))
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """The hash of one file, such as the weights of a model that is a single one."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' reports and progress bars while a model is loaded; its errors stay."""
    from transformers.utils import logging as reports

    verbosity, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reports.set_verbosity(logging.CRITICAL)
        reports.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            reports.set_verbosity(verbosity)
            if bars:
                reports.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_pretrained(auto: Any, files: ModelFiles, what: str, **options: Any) -> Any:
    """`auto.from_pretrained` on local files alone, without running code that a model brings along.

    Args:
        auto: a class of transformers with `from_pretrained`, such as AutoConfig.
        files: of the model.
        what: what is looked for, in words, for the error.
        options: further arguments of `from_pretrained`.

    Returns:
        What `from_pretrained` gives.

    Raises:
        EncoderError: the files hold no such thing.
    """
    try:
        with quiet_transformers():
            return auto.from_pretrained(
                str(files.folder), local_files_only=True, trust_remote_code=False, **options
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError) as error:
        words = " ".join(str(error).split())[:200]
        raise EncoderError(
            f"encoder {files.name!r}: no {what} can be loaded from {files.folder} "
            f"({type(error).__name__}: {words}); "
            "is it a model of the view's modality, and complete?"
        ) from None


def load_model(auto: Any, files: ModelFiles) -> Any:
    """The model, frozen, in evaluation mode, its weights in float32 whatever it is to multiply in.

    Args:
        auto: the Auto class that loads it.
        files: of the model.

    Returns:
        The model. Its attribute `csa_has_pooler` is false where the files lack weights of its
        pooler.

    Raises:
        EncoderError: it cannot be loaded, or the files lack some of its weights: those would be
            random.
    """
    import torch

    model, report = load_pretrained(
        auto, files, "model", dtype=torch.float32, output_loading_info=True
    )
    # A pooling head that a checkpoint never had is random, and only an error where it would be
    # used: see `has_pooler`.
    missing = sorted(key for key in report["missing_keys"] if not _is_pooler(key))
    if missing:
        raise EncoderError(
            f"encoder {files.name!r}: {len(missing)} weights are missing from its files, such as "
            f"{missing[0]}; "
            "fetch the whole model again"
        )
    model.csa_has_pooler = not any(map(_is_pooler, report["missing_keys"]))
    return model.eval().requires_grad_(False)


def model_class(auto: Any, config: Any) -> Any:
    """The class that an Auto class makes of a configuration, or None if it has none for it.

    Args:
        auto: an Auto class of transformers.
        config: a model's configuration.

    Returns:
        The class, or None.
    """
    return auto._model_mapping.get(type(config), None)


def _is_pooler(key: str) -> bool:
    return "pooler" in key.split(".")


def set_offline_defaults() -> None:
    """No telemetry, and no threads of the tokenizers' own beside ours."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
