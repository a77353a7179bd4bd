"""An ONNX file on disk: what its graph takes and gives, where its weights lie, and the folder that
declares its preprocessing.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from csa.encoders.models import ModelFiles, hash_file
from csa.errors import EncoderError
from csa.extras import needed_for
from csa.params.views import ViewParams

SUFFIX = ".onnx"
DECLARED = {
    "image": ("preprocessor_config.json",),
    "audio": ("preprocessor_config.json",),
    "text": ("tokenizer.json", "tokenizer_config.json"),
}
"""Modality -> the files of which one has to lie beside an ONNX file, or in the folder above."""

_DECLARING = (
    *("preprocessor_config.json", "config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt"),
    *("spiece.model", "sentencepiece.bpe.model"),
)


@dataclass(frozen=True)
class Facts:
    """Of a graph.

    Attributes:
        inputs: name -> shape of what it takes; an axis without a fixed size is 0.
        outputs: names of what it gives.
        inner: names of all values that it computes, in order.
        weights: files beside it that hold its weights.
    """

    inputs: dict[str, tuple[int, ...]]
    outputs: list[str]
    inner: list[str]
    weights: set[str]


@dataclass(frozen=True)
class OnnxFiles:
    """An ONNX file with what belongs to it.

    Attributes:
        name: what the user called it.
        path: of the file.
        preprocessing: the folder that declares its preprocessing.
    """

    name: str
    path: Path
    preprocessing: Path

    @property
    def declared(self) -> ModelFiles:
        """What declares the preprocessing, as of a transformers model."""
        return ModelFiles(self.name, self.preprocessing)

    def read(self) -> Any:
        """The file's content without the weights that lie in files of their own.

        Returns:
            An onnx.ModelProto.

        Raises:
            EncoderError: it is no ONNX file, or the extra `onnx` is not installed.
        """
        with needed_for(f"encoder {self.name!r}", EncoderError):
            import onnx
        try:
            model = onnx.load(self.path, load_external_data=False)
        except Exception as error:  # protobuf's has no class that can be imported with types
            raise self.error(
                f"it cannot be read as ONNX ({short(error)}); export it again"
            ) from None
        if not model.graph.output:
            raise self.error("it has no output; is it an ONNX file? Export it again")
        return model

    @cached_property
    def facts(self) -> "Facts":
        """What is asked of the graph again and again; its weights are not kept for that.

        Raises:
            EncoderError: as of `read`.
        """
        graph = self.read().graph
        weights = {tensor.name for tensor in graph.initializer}
        return Facts(
            {
                value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
                for value in graph.input
                if value.name not in weights
            },
            [value.name for value in graph.output],
            [name for node in graph.node for name in node.output],
            {
                entry.value
                for tensor in graph.initializer
                for entry in tensor.external_data
                if entry.key == "location"
            },
        )

    @cached_property
    def all(self) -> dict[str, Path]:
        """Every file that the features depend on, by its name beside the ONNX file.

        Raises:
            EncoderError: weights lie outside of the ONNX file's folder, or are missing.
        """
        found = {f"model{SUFFIX}": self.path}
        found |= {name: self._weights(name) for name in self.facts.weights}
        for name in _DECLARING:
            if (self.preprocessing / name).is_file():
                found[name] = self.preprocessing / name
        return found

    @cached_property
    def identity(self) -> str:
        """A hash over all of them."""
        digest = sha256()
        for name, path in sorted(self.all.items()):
            digest.update(f"{name}\0".encode() + bytes.fromhex(hash_file(path)))
        return digest.hexdigest()

    def error(self, words: str) -> EncoderError:
        """An error that names the file."""
        return EncoderError(f"encoder {self.name!r}: {words}")

    def _weights(self, location: str) -> Path:
        place = PurePosixPath(location)
        path = self.path.parent / location
        if place.is_absolute() or ".." in place.parts or path.is_symlink() or not path.is_file():
            raise self.error(
                f"its weights are to be in {location!r}, and there is no such file in its folder; "
                f"copy the file beside the ONNX file"
            )
        return path


def find_onnx(view: ViewParams) -> OnnxFiles | None:
    """The ONNX file that a view names.

    Args:
        view: its encoder is the path of an ONNX file, or of a folder that holds one and no
            transformers model.

    Returns:
        The file; None if the view's encoder is something else.

    Raises:
        EncoderError: there is no such file, or nothing declares its preprocessing.
    """
    path = Path(view.encoder).expanduser()
    if path.suffix.lower() != SUFFIX:
        inside = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []
        if len(inside) != 1 or (path / "model.safetensors").exists():
            return None
        path = inside[0]
    if not path.is_file():
        raise EncoderError(f"encoder {view.encoder!r}: there is no such file; correct the path")
    wanted = DECLARED.get(view.modality)
    if wanted is None:
        raise EncoderError(
            f"encoder {view.encoder!r}: an ONNX file is read for {', '.join(DECLARED)}, got "
            f"modality: {view.modality}; use precomputed features"
        )
    given = [Path(view.preprocessing).expanduser()] if view.preprocessing else []
    for folder in given or [path.parent, path.parent.parent]:
        if any((folder / name).is_file() for name in wanted):
            return OnnxFiles(view.encoder, path, folder)
    where = f"in {view.preprocessing}" if given else "beside it nor in the folder above"
    raise EncoderError(
        f"encoder {view.encoder!r}: its preprocessing is not declared: {' or '.join(wanted)} is "
        f"{'not ' if given else 'neither '}{where}; copy it there from the model that was "
        f"exported, or name its folder with preprocessing:"
    )


def short(error: BaseException) -> str:
    """The beginning of what a library says of a file, on one line."""
    return " ".join(str(error).split())[:160]
