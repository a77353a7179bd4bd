"""The built-in text encoder, all-MiniLM-L6-v2, without transformers: that takes twice as long to
import as torch, and a question to a model would wait for it.
"""

from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any

from csa.core.matrices import Float32
from csa.encoders.base import Encoder, options_of
from csa.encoders.bert import Bert
from csa.encoders.models import ModelFiles
from csa.encoders.pooling import pool
from csa.encoders.sentence import sentence_limit
from csa.encoders.text import padded_lengths
from csa.params.views import ViewParams


class MiniLM(Encoder):
    """384 features of a text: the mean over the tokens of the last layer, or its first token.

    Description and features are those of `TextEncoder` with the same files, bit for bit; that
    class serves the other layers, precisions and backends.

    Args:
        files: of the model, in the layout of sentence-transformers.
        view: how it is used; `serves` must say yes to it.
    """

    on_device = True

    def __init__(self, files: ModelFiles, view: ViewParams):
        self._files, self._pooling, self._longest = (
            files,
            view.pooling or "mean",
            sentence_limit(files),
        )
        description: dict[str, Any] = {
            "encoder": files.name,
            "weights": lambda: files.identity,
            "modality": "text",
            "pooling": self._pooling,
            "layer": -1,
            "dtype": "float32",
            "head": [],
            "longest": self._longest,
            **options_of(view),
        }
        super().__init__(description, view.batch_size)

    @staticmethod
    def serves(view: ViewParams) -> bool:
        """Whether a view asks for nothing that needs transformers."""
        plain = (view.layer, view.dtype, view.backend) == (-1, "float32", "torch")
        return plain and view.pooling in (None, "mean", "cls")

    def load(self) -> None:
        """See `Encoder.load`."""
        _ = self._bert

    @cached_property
    def _bert(self) -> Bert:
        return Bert(self._files.folder, self.device.name)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._files.folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def padded_lengths(self, values: list[str]) -> list[int]:
        """Tokens of every text, rounded up to a multiple of 8."""
        tokens = [len(found.ids) for found in self._tokenizer.encode_batch(values)]
        return padded_lengths(tokens, self._longest)

    def prepare(self, item: Any) -> Any:
        """Ids of a text's tokens, as many as the model takes."""
        ids = self._tokenizer.encode(item).ids
        return ids if len(ids) <= self._longest else [*ids[: self._longest - 1], ids[-1]]

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        import torch

        missing = [padded_length - len(ids) for ids in prepared]
        ids, mask = (
            torch.tensor([values(ids) + [0] * n for ids, n in zip(prepared, missing, strict=True)])
            for values in (list, lambda ids: [1] * len(ids))
        )
        network = partial(self._network, padded=any(missing))
        return self.run(network, "torch", ids=ids, mask=mask)

    def _network(self, ids: Any, mask: Any, padded: bool) -> Any:
        states = SimpleNamespace(last_hidden_state=self._bert.states(ids, mask if padded else None))
        return pool(self._files.name, states, self._pooling, -1, mask)
