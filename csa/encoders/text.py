"""Any transformers text model: BERT, RoBERTa, MiniLM, T5 encoders such as GTR, CLIP's text tower
and their like.
"""

import sys
from typing import Any, ClassVar

from csa.core.matrices import Float32
from csa.encoders.models import ModelFiles, load_pretrained, model_class
from csa.encoders.pretrained import PretrainedEncoder
from csa.encoders.sentence import read_sentence_head, sentence_limit
from csa.params.views import ViewParams

# Texts are padded to a multiple of this many tokens: few shapes, little waste.
_LENGTH_STEP = 8
LONGEST = 512
"""The most tokens of a text, whatever a model would take."""


class TextEncoder(PretrainedEncoder):
    """A text model with its own tokenizer.

    Without `pooling`, a folder in the layout of sentence-transformers (modules.json) gives what
    that library gives: pooling, dense layer and normalisation as listed there (GTR needs them).
    Else a model of two towers gives its projected text features, and any other the mean over
    tokens. A text longer than the model takes is cut there, with a note.
    """

    backends: ClassVar[tuple[str, ...]] = ("torch", "openvino")

    def __init__(self, files: ModelFiles, view: ViewParams):
        from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

        self._tokenizer = load_tokenizer(files)
        config = load_pretrained(AutoConfig, files, "configuration")
        # T5 and its kin are encoder-decoders: the plain class would want their decoder too.
        auto = (
            AutoModelForTextEncoding if model_class(AutoModelForTextEncoding, config) else AutoModel
        )
        self._head = (
            read_sentence_head(files) if view.pooling is None and view.layer == -1 else None
        )
        if self._head is not None:
            view = view.model_copy(update={"pooling": self._head.pooling})
        self._longest = _longest(config, self._tokenizer, sentence_limit(files))
        described = {"head": self._head.description if self._head else [], "longest": self._longest}
        super().__init__(files, view, config, auto, view.batch_size, **described)

    def padded_lengths(self, values: list[str]) -> list[int]:
        """Tokens of every text, rounded up to a multiple of 8."""
        return lengths_by(self._tokenizer, values, self._longest)

    def prepare(self, item: Any) -> Any:
        """The text itself: a batch is tokenized at once."""
        return item

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        tokens = tokenized(self._tokenizer, prepared, padded_length, return_tensors="pt")
        return self.run(self._network, self._backend, **tokens)

    def load(self) -> None:
        """See `Encoder.load`; the head is there from the start."""
        super().load()
        if self._head is not None:
            self._head.to(self.device.name)

    def _network(self, **tokens: Any) -> Any:
        pooled = self._pool(self._call(**tokens, **self._inner), tokens["attention_mask"])
        return self._head.apply(pooled) if self._head else pooled


def load_tokenizer(files: ModelFiles) -> Any:
    """A model's tokenizer, which can pad.

    Args:
        files: whose folder has it.

    Returns:
        The tokenizer.

    Raises:
        EncoderError: there is none.
    """
    from transformers import AutoTokenizer

    tokenizer = load_pretrained(AutoTokenizer, files, "tokenizer")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked out, so any token serves
    return tokenizer


def tokenized(tokenizer: Any, texts: list[str], padded_length: int, **options: Any) -> Any:
    """The tokens of texts, all of one length.

    Args:
        tokenizer: of transformers.
        texts: of a batch.
        padded_length: in tokens; what is longer is cut.
        options: further arguments of the tokenizer, such as `return_tensors`.

    Returns:
        What the tokenizer gives: name -> tensor (batch, padded_length).
    """
    return tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=padded_length,
        verbose=False,
        **options,
    )


def lengths_by(tokenizer: Any, texts: list[str], longest: int) -> list[int]:
    """`padded_lengths` of what a tokenizer makes of texts.

    Args:
        tokenizer: of transformers.
        texts: any number.
        longest: the most tokens that the model takes.

    Returns:
        A length for each text, at most `longest`.
    """
    if not texts:
        return []
    found = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return padded_lengths(list(map(len, found)), longest)


def padded_lengths(tokens: list[int], longest: int) -> list[int]:
    """What texts are padded to: a multiple of 8 tokens; says how many are cut at the longest.

    Args:
        tokens: of each text.
        longest: the most tokens that the model takes.

    Returns:
        A length for each text, at most `longest`.
    """
    cut = sum(n > longest for n in tokens)
    if cut:
        print(
            f"note: {cut} of {len(tokens)} texts are longer than {longest} tokens and are "
            f"cut there",
            file=sys.stderr,
        )
    return [min(-(-n // _LENGTH_STEP) * _LENGTH_STEP, longest) for n in tokens]


def _longest(config: Any, tokenizer: Any, sentence_limit: int) -> int:
    """The most tokens the model takes: the least of what it, its tokenizer and its sentence
    settings allow.
    """
    text = getattr(config, "text_config", None) or config
    positions = getattr(text, "max_position_embeddings", None) or LONGEST
    if getattr(text, "model_type", "") in (
        "roberta",
        "xlm-roberta",
        "camembert",
        "clap_text_model",
    ):
        positions -= 2  # their positions start behind the padding token's
    return int(min(positions, tokenizer.model_max_length, LONGEST, sentence_limit))
