"""Few pairs beside unpaired items: the peers' official code on what benchmarks.unpaired measures.

    bash benchmarks/peers/clone.sh
    python -m benchmarks.unpaired_peers FLICKR8K FOLDER --python PYTHON [--peers sue,rosetta]
        [--sizes 100] [--seeds 0] [--set steps=2000]

The same photos, captions, pairs, pools and figures as benchmarks.unpaired, without its labels.
PYTHON has what the peers need (benchmarks/README.md). Adds a row to
benchmarks/results/unpaired_peers.json after every fit and goes on where it stopped.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import about
from benchmarks.peers.official import CODE, PEERS, code_of
from benchmarks.unpaired import Subset, retrieval
from benchmarks.unpaired_features import Features, features
from csa.storage.files import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "unpaired_peers.json"
SCRIPT = Path(__file__).parent / "peers" / "official.py"


@dataclass(frozen=True)
class Fit:
    """A fit of a peer.

    Attributes:
        peer: a peer of `PEERS`.
        photos: paired photos, each with all its captions.
        seed: of the subset, as in benchmarks.unpaired, and of the fit.
        settings: of the fit.
    """

    peer: str
    photos: int
    seed: int
    settings: dict[str, Any]


def vectors(python: str, fit: Fit, data: Features, subset: Subset) -> dict[str, Any]:
    """What a peer makes of the held-out items.

    Args:
        python: that has what the peer needs.
        fit: which.
        data: all features.
        subset: its pairs and pools.

    Returns:
        Vectors of photos and captions, and the versions that were used.

    Raises:
        SystemExit: the peer failed; status 2 after its last words and what it needs.
    """
    captions = data.captions[data.dev]
    given = {
        **{name: array for name, array in vars(subset).items()},
        "photos": data.photos[data.dev],
        "captions": captions.reshape(-1, captions.shape[2]),
    }
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "given.npz", **given)
        settings = json.dumps({**fit.settings, "seed": fit.seed})
        words = [python, "-W", "ignore", str(SCRIPT), fit.peer, str(CODE / fit.peer), folder]
        done = subprocess.run([*words, settings], capture_output=True, text=True, check=False)
        if done.returncode:
            needs = " ".join(("torch", "scikit-learn", *PEERS[fit.peer].packages))
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            print(f"{fit.peer}: {last}; {python} needs {needs}", file=sys.stderr)
            raise SystemExit(2)
        with np.load(Path(folder) / "vectors.npz") as arrays:
            return {**arrays, "versions": json.loads(done.stdout)}


def measure(python: str, fit: Fit, data: Features, path: Path) -> None:
    """Fit, measure and add a row to the results, unless it is there.

    Args:
        python: as of `vectors`.
        fit: which.
        data: all features.
        path: of the results.
    """
    if any({key: row[key] for key in asdict(fit)} == asdict(fit) for row in _rows(path)):
        return
    subset = Subset.draw(data, fit.photos, fit.seed)
    began = time.perf_counter()
    made = vectors(python, fit, data, subset)
    row = {
        **asdict(fit),
        "pools": [len(subset.U), len(subset.V)],
        "seconds": time.perf_counter() - began,
        **retrieval(made["photos"], made["captions"]),
        "versions": made["versions"],
    }
    command = "python -m benchmarks.unpaired_peers FLICKR8K FOLDER --python PYTHON"
    write_json(path, {**about(command), "rows": [*_rows(path), row]})
    recalls = f"{row['image_to_text_r1']:.1f}/{row['text_to_image_r1']:.1f}"
    print(f"{fit.peer:10} n={fit.photos:4} seed={fit.seed} {recalls} {row['seconds']:.0f} s")


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read_json(path)["rows"]) if path.exists() else []


def main() -> None:
    """Measure what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--sizes", default="100")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    peers = options.peers.split(",")
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        parser.error(f"--peers: no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    for name in peers:
        code_of(name)
    changed = dict(_setting(parser, text, peers) for text in options.set)
    data = features(options.data, options.folder)
    for n in map(int, options.sizes.split(",")):
        for seed in map(int, options.seeds.split(",")):
            for name in peers:
                kept = PEERS[name].settings
                settings = {**kept, **{k: v for k, v in changed.items() if k in kept}}
                measure(options.python, Fit(name, n, seed, settings), data, options.results)


def _setting(parser: argparse.ArgumentParser, text: str, peers: list[str]) -> tuple[str, Any]:
    """A setting that one of the peers has, of KEY=JSON."""
    key, _, value = text.partition("=")
    known = sorted({name for peer in peers for name in PEERS[peer].settings})
    if key not in known:
        parser.error(f"--set {text}: no setting {key!r}; there are {', '.join(known)}")
    try:
        return key, json.loads(value)
    except ValueError:
        parser.error(f"--set {text}: {value!r} is not JSON, such as 0.1 or [64, 32]")


if __name__ == "__main__":
    main()
