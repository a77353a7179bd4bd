"""BERT's encoder in plain torch, for the built-in text encoder: a question to a model need not wait
for transformers, whose import takes twice as long as torch's.
"""

import json
from pathlib import Path
from typing import Any


class Bert:
    """The transformer of Devlin et al. (2019), without pooler, in evaluation mode.

    It gives the same bits as transformers' `BertModel`, which a test holds it to.

    Args:
        folder: with config.json and model.safetensors, as `save_pretrained` writes them.
        device: where the weights go, as torch calls it.
    """

    def __init__(self, folder: Path, device: str = "cpu"):
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        loaded = load_file(folder / "model.safetensors")
        self._weights: dict[str, Any] = {name: one.to(device) for name, one in loaded.items()}
        self._heads = config["num_attention_heads"]
        self._layers = range(config["num_hidden_layers"])
        self._epsilon = config["layer_norm_eps"]

    def states(self, ids: Any, mask: Any = None) -> Any:
        """The last layer's states, shape (batch, length, d).

        Args:
            ids: of the tokens, shape (batch, length).
            mask: 1 for tokens, 0 for padding, shape (batch, length); None without any padding:
                torch then takes a faster kernel that knows no mask.

        Returns:
            States, shape (batch, length, d).
        """
        from torch.nn.functional import gelu

        weights, length = self._weights, ids.shape[1]
        table = "embeddings.{}_embeddings.weight".format
        states = weights[table("word")][ids] + weights[table("token_type")][0]
        states = self._norm(states + weights[table("position")][:length], "embeddings.LayerNorm")
        seen = None if mask is None else mask.bool()[:, None, None].expand(-1, 1, length, -1)
        for layer in self._layers:
            name = f"encoder.layer.{layer}"
            mixed = self._linear(
                self._attention(states, seen, name), f"{name}.attention.output.dense"
            )
            states = self._norm(mixed + states, f"{name}.attention.output.LayerNorm")
            wide = gelu(self._linear(states, f"{name}.intermediate.dense"))
            narrow = self._linear(wide, f"{name}.output.dense")
            states = self._norm(narrow + states, f"{name}.output.LayerNorm")
        return states

    def _attention(self, states: Any, seen: Any, name: str) -> Any:
        from torch.nn.functional import scaled_dot_product_attention

        batch, length, width = states.shape
        query, key, value = (
            self._linear(states, f"{name}.attention.self.{part}")
            .view(batch, length, self._heads, width // self._heads)
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return mixed.transpose(1, 2).reshape(batch, length, width)

    def _linear(self, states: Any, name: str) -> Any:
        from torch.nn.functional import linear

        return linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: Any, name: str) -> Any:
        from torch.nn.functional import layer_norm

        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(states, weight.shape, weight, bias, self._epsilon)
