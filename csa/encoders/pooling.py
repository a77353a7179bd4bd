"""From a transformers model's output to one vector an item: which layer, and how its tokens are
pooled.
"""

from typing import Any

from csa.errors import EncoderError
from csa.params.views import Pooling


def check_pooling(name: str, model: Any, pooling: Pooling, layer: int | tuple[int, ...]) -> None:
    """Refuse what cannot be had of this model.

    Args:
        name: of the encoder, for errors.
        model: from `csa.encoders.models.load_model`.
        pooling: what is asked for.
        layer: the layer, or the layers, that is asked for; -1 is the last.

    Raises:
        EncoderError: pooler of an inner layer, or a pooler whose weights the checkpoint lacks.
    """
    if pooling == "pooler" and layer != -1:
        raise EncoderError(
            f"encoder {name!r}: pooling: pooler is of the last layer, got layer: {layer}; use cls "
            f"or mean"
        )
    if pooling == "pooler" and not model.csa_has_pooler:
        raise EncoderError(
            f"encoder {name!r}: its files hold no weights of a pooler; use pooling: cls or mean"
        )


def pool(
    name: str, output: Any, pooling: Pooling, layer: int | tuple[int, ...], mask: Any = None
) -> Any:
    """One vector an item.

    Layer -1 is the model's output, after its final normalisation. Other layers are hidden states as
    the model lists them: 0 the embeddings, k the output of block k, -2 that of the block before the
    last.

    Args:
        name: of the encoder, for errors.
        output: of a transformers model; with hidden states where `layer` is not -1.
        pooling: cls takes the first token, mean averages all tokens (or all places of a feature
            map), mean_std appends their standard deviation, pooler is the model's own.
        layer: which layer; of several, each is brought to unit length, and they are put side by
            side.
        mask: 1 for tokens, 0 for padding, shape (batch, length); None if there is no padding.

    Returns:
        A tensor (batch, d).

    Raises:
        EncoderError: the model has no such layer, no pooler, or no first token.
    """
    if isinstance(layer, tuple):
        return _side_by_side([pool(name, output, pooling, one, mask) for one in layer])
    if pooling == "pooler":
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise EncoderError(f"encoder {name!r} has no pooler; use pooling: cls or mean")
        return pooled.flatten(1)
    states = (
        output.last_hidden_state
        if layer == -1
        else _hidden_state(name, output.hidden_states, layer)
    )
    if states.ndim == 4:  # a feature map (batch, channels, height, width)
        if pooling == "cls":
            raise EncoderError(
                f"encoder {name!r} is convolutional and has no first token; use pooling: mean"
            )
        states = states.flatten(2).transpose(1, 2)
    if pooling == "cls":
        return states[:, 0]
    if mask is None:
        mean = states.mean(1)
        return (
            mean
            if pooling == "mean"
            else _with_std(mean, ((states - mean.unsqueeze(1)) ** 2).mean(1))
        )
    weight = mask.unsqueeze(-1).to(states.dtype)
    mean = (states * weight).sum(1) / weight.sum(1)
    return (
        mean
        if pooling == "mean"
        else _with_std(mean, ((states - mean.unsqueeze(1)) ** 2 * weight).sum(1) / weight.sum(1))
    )


def _side_by_side(parts: list[Any]) -> Any:
    import torch

    return torch.cat([torch.nn.functional.normalize(part, dim=1) for part in parts], dim=1)


def _with_std(mean: Any, variance: Any) -> Any:
    import torch

    return torch.cat([mean, variance.sqrt()], dim=1)


def _hidden_state(name: str, states: Any, layer: int) -> Any:
    if not -len(states) <= layer < len(states):
        raise EncoderError(
            f"encoder {name!r} has layers 0 to {len(states) - 1}, got layer: {layer}"
        )
    return states[layer]
