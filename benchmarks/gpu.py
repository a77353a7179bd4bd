"""What a GPU makes of embedding, moments and search, in at most eight minutes: `make bench-gpu`.

It installs and downloads nothing: pictures, texts and weights are random. Rates are of the wall
clock, against the bare products and forward passes of the same device. `--device cpu --small` shows
on any machine that it works.
"""

import argparse
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    Dinov2Config,
    Dinov2Model,
    ViTImageProcessor,
)

import csa
from benchmarks.measure import SEED, machine
from csa.core.on_device import best_there
from csa.encoders.device import device_name
from csa.encoders.registry import load_encoder
from csa.features.cache import FeatureCache
from csa.features.embed import Items, embed
from csa.params.views import ViewParams

WORDS = [f"word{i}" for i in range(1000)]
# hidden numbers, layers, heads and patches a side of 14 pixels: tiny, and as ViT-L/14 and ViT-g/14
SHAPES = {"tiny": (192, 4, 3, 16), "ViT-L/14": (1024, 24, 16, 16), "ViT-g/14": (1536, 40, 24, 16)}
LEAST_COSINE = 1 - 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    name, deadline = device_name(options.device), time.monotonic() + 60 * options.minutes
    found: dict[str, Any] = {
        "command": f"python -m benchmarks.gpu{' --small' * options.small}",
        "seed": SEED,
        "machine": machine(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(name) if name.startswith("cuda") else name,
        "left_out": [],
    }
    parts = {
        "agreement": lambda: agreement(name),
        "moments": lambda: moments(name, 20_000 if options.small else 1_000_000),
        "top_10": lambda: top_10(name, *((500, 5_000) if options.small else (100_000, 1_000_000))),
        "texts": lambda: texts(name, 512 if options.small else 65_536),
        "tiny pictures": lambda: pictures(name, "tiny", 64 if options.small else 8_192),
        "ViT-L/14": lambda: pictures(name, "ViT-L/14", 2_048),
        "ViT-g/14": lambda: pictures(name, "ViT-g/14", 1_024),
    }
    for part, work in parts.items():
        started = time.monotonic()
        # the large ones need a minute at least, and have nothing to say of a processor
        large = part.startswith("ViT")
        if started > deadline - (90 if large else 30) or (large and options.small):
            found["left_out"].append(part)
            continue
        found[part] = work()
        print(f"{part}: {time.monotonic() - started:.0f} s, {json.dumps(found[part])}", flush=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    options.out.write_text(json.dumps(found, indent=2) + "\n")


def seconds(device: str, work: Callable[[], Any], rounds: int = 3) -> float:
    """Of the wall clock, the least of a few rounds after one that warms up."""
    taken = []
    for _ in range(rounds + 1):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def moments(device: str, pairs: int, p: int = 1536, q: int = 768) -> dict[str, Any]:
    """Moments of tensors on the device against the bare products of the same blocks; goal: 85 %."""
    if device == "mps":
        return {"left_out": "Apple's GPUs have no float64"}
    torch.manual_seed(SEED)
    X = torch.randn(pairs, p, device=device)
    Y = X[:, :q] + torch.randn(pairs, q, device=device)
    rows = 8192

    def bare() -> None:
        for start in range(0, pairs, rows):
            x, y = X[start : start + rows], Y[start : start + rows]
            _ = x.mT @ x, y.mT @ y, x.mT @ y

    ours = seconds(device, lambda: csa.Moments.of_tensors(X, Y))
    products = seconds(device, bare)
    return {
        "pairs": pairs,
        "seconds": round(ours, 4),
        "bare_products_seconds": round(products, 4),
        "share_of_their_rate": round(products / ours, 3),
        "goal": 0.85,
    }


def top_10(device: str, queries: int, gallery: int, width: int = 256) -> dict[str, Any]:
    """The ten best of every query, against the bare products of the same blocks."""
    torch.manual_seed(SEED)
    left, right = (torch.randn(n, width, device=device) for n in (queries, gallery))
    step = max(1, 400_000_000 // gallery)

    def bare() -> None:
        for start in range(0, queries, step):
            _ = left[start : start + step] @ right.mT

    ours = seconds(device, lambda: best_there(left, right, 10), rounds=1)
    products = seconds(device, bare, rounds=1)
    return {
        "queries": queries,
        "gallery": gallery,
        "seconds": round(ours, 3),
        "bare_products_seconds": round(products, 3),
        "queries_a_second": round(queries / ours),
    }


def agreement(device: str) -> dict[str, Any]:
    """The least cosine of tiny encoders' features, to the processor's and alone to in company."""
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, items in (("image", _files(12)), ("text", _texts(12))):
            view = _view(Path(folder) / kind, kind, "tiny", 4, "float32")
            load = _open if kind == "image" else str
            there, here = load_encoder(view, device), load_encoder(view)
            features = there.encode([load(item) for item in items])
            alone = np.concatenate([there.encode([load(item)]) for item in items])
            told[kind] = {
                "to_the_processor": _least_cosine(features, here.encode([load(i) for i in items])),
                "alone_to_in_company": _least_cosine(features, alone),
                "promised": LEAST_COSINE,
            }
    return told


def texts(device: str, count: int) -> dict[str, Any]:
    """Texts a second of a small BERT, in each arithmetic."""
    return _rates(device, "text", "tiny", _texts(count), 256)


def pictures(device: str, shape: str, count: int) -> dict[str, Any]:
    """Pictures a second from JPEG files to features, against the bare forward pass; goal: 85 %."""
    return _rates(device, "image", shape, _files(count), 64)


def _rates(device: str, kind: str, shape: str, items: list[Any], batch: int) -> dict[str, Any]:
    told: dict[str, Any] = {"items": len(items), "batch_size": batch, "goal": 0.85}
    load = _open if kind == "image" else str
    rows = [(hashlib.sha256(repr(i).encode()).hexdigest(), item) for i, item in enumerate(items)]
    with tempfile.TemporaryDirectory() as name:
        for dtype in ("float32", "bfloat16"):
            view = _view(Path(name) / "model", kind, shape, batch, dtype)
            encoder = load_encoder(view, device)
            lengths = encoder.padded_lengths([item if kind == "text" else "" for item in items])
            same = [item for item, n in zip(items, lengths, strict=True) if n == lengths[0]]
            full = [encoder.prepare(load(item)) for item in (same * batch)[:batch]]
            encoder.encode_batch(full, lengths[0])  # weights are there, kernels are chosen
            bare = seconds(device, _bare(encoder, full, lengths[0], dtype)) / batch
            cache = FeatureCache(Path(name) / dtype, "features")
            started = time.perf_counter()
            embed(encoder, Items(rows, load, f"{shape} {kind}s, {dtype}"), cache)
            rate = len(items) / (time.perf_counter() - started)
            told[dtype] = {
                "items_a_second": round(rate, 1),
                "bare_forward_pass": round(1 / bare, 1),
                "share": round(rate * bare, 3),
            }
    return told


def _bare(encoder: Any, full: list[Any], length: int, dtype: str) -> Callable[[], Any]:
    """The network alone, on a batch that lies on the device already."""
    caught: dict[str, Any] = {}

    def catch(network: Callable[..., Any], _: str, **given: Any) -> Any:
        caught.update(network=network, tensors=given)
        return np.zeros((len(full), 1), np.float32)

    run, encoder.run = encoder.run, catch
    encoder.forward(full, length)
    encoder.run = run
    tensors = {name: encoder.device.put(one) for name, one in caught["tensors"].items()}

    def once() -> None:
        with torch.inference_mode(), encoder.device._arithmetic(dtype):
            caught["network"](**tensors)

    return once


def _view(folder: Path, kind: str, shape: str, batch: int, dtype: str) -> ViewParams:
    """A view whose encoder has random weights, written once."""
    if not folder.exists():
        folder.mkdir(parents=True)
        torch.manual_seed(SEED)
        width, layers, heads, side = SHAPES[shape]
        sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        if kind == "text":
            (folder / "vocab.txt").write_text(
                "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])
            )
            BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
            config = BertConfig(vocab_size=1004, intermediate_size=4 * width, **sizes)
            BertModel(config).save_pretrained(folder)
        else:
            config = Dinov2Config(image_size=14 * side, patch_size=14, **sizes)
            Dinov2Model(config).save_pretrained(folder)
            square = {"height": 14 * side, "width": 14 * side}
            ViTImageProcessor(size=square).save_pretrained(folder)
    return ViewParams(modality=kind, encoder=str(folder), batch_size=batch, dtype=dtype)


def _files(count: int) -> list[bytes]:
    """JPEG files of 320 x 240 pixels; a few different ones, over and over."""
    rng, made = np.random.default_rng(SEED), []
    for _ in range(min(count, 64)):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return [made[i % len(made)] for i in range(count)]


def _open(content: bytes) -> Any:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _texts(count: int) -> list[str]:
    rng = np.random.default_rng(SEED)
    return [" ".join(rng.choice(WORDS, rng.integers(6, 14))) for _ in range(count)]


def _least_cosine(a: Any, b: Any) -> float:
    a, b = (m.astype(np.float64) for m in (a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / lengths).min())


if __name__ == "__main__":
    main()
