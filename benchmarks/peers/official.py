"""Fit with the official code of a peer on what benchmarks.unpaired_peers wrote, and save vectors.

    PYTHON benchmarks/peers/official.py PEER CODE FOLDER SETTINGS

CODE is the peer's own code, as clone.sh fetches it. FOLDER/given.npz holds pairs, pools and
held-out items; FOLDER/vectors.npz gets a vector of each held-out item, whose inner products are
the peer's scores. SETTINGS are JSON. Prints versions as JSON. Stands alone: the Python that runs it
does not have csa.
"""

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

CODE = Path(".bench/code")


@dataclass(frozen=True)
class Peer:
    """What is run of a peer.

    Attributes:
        fit: (its code, what was given, settings) -> vectors of held-out photos and captions.
        reads: the file of its code without which nothing runs.
        packages: what its Python needs besides torch, numpy and scikit-learn.
        settings: what a fit takes, for minutes of one core; benchmarks/README.md says where they
            are less than the authors'.
    """

    fit: Callable[[Path, dict[str, Any], dict[str, Any]], tuple[Any, Any]]
    reads: str
    packages: tuple[str, ...]
    settings: dict[str, Any]


def code_of(name: str, folder: Path = CODE) -> Path:
    """The folder of a peer's code.

    Args:
        name: a peer of `PEERS`.
        folder: with a folder for each peer.

    Returns:
        The peer's folder.

    Raises:
        SystemExit: it is not there; status 2 after a line that says how to get it.
    """
    code = folder / name
    if not (code / PEERS[name].reads).is_file():
        print(
            f"{name}: {code / PEERS[name].reads} is not there; fetch the authors' code with: "
            f"bash benchmarks/peers/clone.sh",
            file=sys.stderr,
        )
        raise SystemExit(2)
    return code


def _sotalign(code: Path, given: dict[str, Any], settings: dict[str, Any]) -> tuple[Any, Any]:
    """A ridge CCA teacher, then linear students trained by SigLIP on pairs and KLOT on pools."""
    import torch
    from lion_pytorch import Lion
    from torch.nn.functional import logsigmoid, normalize

    sys.path.insert(0, str(code / "src"))
    from klot import KLOT

    pairs = _Pairs(given)
    given = _unit(given)
    teacher = _ridge_cca(given["X"], given["Y"], settings["ridge"], pairs.groups - 1)
    students = [torch.nn.Linear(*one.shape) for one in teacher]
    with torch.no_grad():
        for student, one in zip(students, teacher, strict=True):
            student.weight.copy_(one.T)
            student.bias.zero_()
    scale = torch.nn.Parameter(torch.tensor(math.log(20.0)))
    bias = torch.nn.Parameter(torch.tensor(-10.0))
    trained = [*students[0].parameters(), *students[1].parameters(), scale, bias]
    optimizer = Lion(trained, lr=settings["rate"], weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["steps"])
    klot = KLOT(epsilon_student=0.05, epsilon_teacher=0.01, n_iter=100)

    def cosine(left: Any, right: Any) -> Any:
        return normalize(left, dim=1) @ normalize(right, dim=1).T

    for _ in range(settings["steps"]):
        rows = pairs.one_a_group()
        U, V = (_some(given[pool], settings["batch"]) for pool in "UV")
        agreed = cosine(students[0](given["X"][rows]), students[1](given["Y"][rows]))
        signs = 2 * torch.eye(len(rows)) - 1
        loss = -logsigmoid(signs * (scale.exp() * agreed + bias)).sum() / len(rows)
        theirs = cosine(U @ teacher[0], V @ teacher[1])
        loss = loss + settings["alpha"] * klot(cosine(students[0](U), students[1](V)), theirs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    held = (students[0](given["photos"]), students[1](given["captions"]))
    return tuple(normalize(one, dim=1).detach() for one in held)


def _structure(code: Path, given: dict[str, Any], settings: dict[str, Any]) -> tuple[Any, Any]:
    """Two linear maps trained by STRUCTURE's loss: CLIP on pairs, neighbourhoods kept on all."""
    import torch
    from torch.nn.functional import normalize

    sys.path.insert(0, str(code))
    from src.loss.clip_loss import CLIPLoss

    pairs = _Pairs(given)
    given = _unit(given)
    maps = [torch.nn.Linear(given[pool].shape[1], settings["dimensions"]) for pool in "UV"]
    trained = [weight for one in maps for weight in one.parameters()]
    optimizer = torch.optim.AdamW(
        trained, lr=settings["rate"], weight_decay=1e-4, betas=(0.9, 0.95)
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["steps"])
    criterion = CLIPLoss(temperature=0.05, normalize_latents=True, warmup_steps=1000)
    for _ in range(settings["steps"]):
        rows = pairs.one_a_group()
        x, y = given["X"][rows], given["Y"][rows]
        U, V = (_some(given[pool], settings["batch"]) for pool in "UV")
        criterion.step()
        loss = criterion(maps[0](x), maps[1](y), x, y, (U, maps[0](U)), (V, maps[1](V)))
        optimizer.zero_grad()
        loss["overall_loss"].backward()
        for one in maps:
            torch.nn.utils.clip_grad_norm_(one.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    held = (maps[0](given["photos"]), maps[1](given["captions"]))
    return tuple(normalize(one, dim=1).detach() for one in held)


def _sue(code: Path, given: dict[str, Any], settings: dict[str, Any]) -> tuple[Any, Any]:
    """A SpectralNet a view, CCA of the pairs in their spaces, and a network that lowers the MMD."""
    import torch
    from sklearn.cross_decomposition import CCA
    from torch.nn.functional import normalize

    sys.path.insert(0, str(code / "src"))
    from mmd import fine_tune_alignment_using_mmd_network
    from spectralnet import SpectralNet

    given = _unit(given)
    few = min(len(given["U"]), len(given["V"]))  # the MMD takes as many of one view as of the other
    nets = []
    for pool in "UV":
        net = SpectralNet(
            n_clusters=30,
            spectral_hiddens=[*settings["widths"], 30],
            spectral_epochs=settings["epochs"],
            spectral_lr=1e-4,
            spectral_batch_size=min(settings["batch"], len(given[pool])),
            spectral_is_local_scale=False,
            spectral_input_dim=given[pool].shape[1],
        )
        net.fit(given[pool])
        nets.append(net)
    cca = CCA(n_components=settings["components"])
    cca.fit(nets[0].transform(given["X"]), nets[1].transform(given["Y"]))
    turns = (cca.x_rotations_, cca.y_rotations_)
    pools = [
        net.transform(given[pool][:few]) @ turn
        for net, pool, turn in zip(nets, "UV", turns, strict=True)
    ]
    network = fine_tune_alignment_using_mmd_network(
        *pools, device=torch.device("cpu"), epochs=settings["mmd epochs"], batch_size=32, n_scales=3
    )[2]
    photos, captions = (
        torch.from_numpy(net.transform(given[name]) @ turn).float()
        for net, name, turn in zip(nets, ("photos", "captions"), turns, strict=True)
    )
    with torch.no_grad():
        return normalize(network(photos), dim=1), normalize(captions, dim=1)


def _rosetta(code: Path, given: dict[str, Any], settings: dict[str, Any]) -> tuple[Any, Any]:
    """Wasserstein Procrustes from a geometric start, the pairs in every step."""
    sys.path.insert(0, str(code))
    from unpaired_rosetta import WassersteinProcrustes
    from unpaired_rosetta.linalg import center_and_normalize

    aligner = WassersteinProcrustes(
        num_restarts=settings["restarts"], num_iterations=settings["steps"]
    )
    aligner.fit(given["U"], given["V"], given["X"], given["Y"], randomness=settings["seed"])
    return (
        aligner.transform(given["photos"]),
        center_and_normalize(given["captions"], aligner.mean_y),
    )


class _Pairs:
    """Draws of one pair of every photo: its other captions are no negatives of a contrast."""

    def __init__(self, given: dict[str, Any]):
        import torch

        _, counts = given["groups"].unique_consecutive(return_counts=True)
        self.groups = len(counts)
        self._counts, self._first = counts, torch.cumsum(counts, 0) - counts

    def one_a_group(self) -> Any:
        """Rows of the pairs."""
        import torch

        return self._first + (torch.rand(self.groups) * self._counts).long()


def _some(pool: Any, batch: int) -> Any:
    """Random items of a pool."""
    import torch

    return pool[torch.randperm(len(pool))[:batch]]


def _unit(given: dict[str, Any]) -> dict[str, Any]:
    """All features less their pool's mean, at unit length."""
    from torch.nn.functional import normalize

    means = {"U": given["U"].mean(0), "V": given["V"].mean(0)}
    pool = {"X": "U", "U": "U", "photos": "U", "Y": "V", "V": "V", "captions": "V"}
    return {name: normalize(given[name] - means[of], dim=1) for name, of in pool.items()}


def _ridge_cca(X: Any, Y: Any, ridge: float, components: int) -> tuple[Any, Any]:
    """Projections of both views."""
    import torch

    X, Y = (one - one.mean(0) for one in (X, Y))
    halves = []
    for one in (X, Y):
        values, vectors = torch.linalg.eigh(one.T @ one / len(one))
        halves.append((vectors * (values.clamp(min=0) + ridge).rsqrt()) @ vectors.T)
    left, _, right = torch.linalg.svd(
        halves[0] @ (X.T @ Y / len(X)) @ halves[1], full_matrices=False
    )
    return halves[0] @ left[:, :components], halves[1] @ right[:components].T


PEERS = {
    "sotalign": Peer(
        _sotalign,
        "src/klot.py",
        ("lion-pytorch",),
        {"steps": 300, "batch": 512, "rate": 1e-4, "ridge": 0.1, "alpha": 1e-4},
    ),
    "structure": Peer(
        _structure,
        "src/loss/clip_loss.py",
        ("loguru",),
        {"steps": 2000, "batch": 512, "rate": 1e-3, "dimensions": 512},
    ),
    "sue": Peer(
        _sue,
        "src/spectralnet/_cluster.py",
        ("annoy", "munkres", "matplotlib", "tqdm"),
        {
            "widths": [1024, 1024, 512],
            "epochs": 100,
            "batch": 2048,
            "components": 8,
            "mmd epochs": 100,
        },
    ),
    "rosetta": Peer(
        _rosetta,
        "unpaired_rosetta/wasserstein_procrustes.py",
        ("pylibmgm", "tqdm"),
        {"restarts": 30, "steps": 100},
    ),
}


def main(name: str, code: str, folder: str, settings: str) -> None:
    """Fit and save.

    Args:
        name: a peer of `PEERS`.
        code: its folder.
        folder: with given.npz.
        settings: as JSON, the seed among them.
    """
    path, chosen = code_of(name, Path(code).parent), json.loads(settings)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # SUE would take the second GPU
    import numpy as np
    import torch

    torch.manual_seed(chosen["seed"])
    np.random.seed(chosen["seed"])
    with np.load(Path(folder) / "given.npz") as arrays:
        given = {key: torch.from_numpy(arrays[key]) for key in arrays}
    said, sys.stdout = sys.stdout, sys.stderr  # the peers' own words are no result
    left, right = PEERS[name].fit(path, given, chosen)
    sys.stdout = said
    np.savez(Path(folder) / "vectors.npz", photos=left.numpy(), captions=right.numpy())
    packages = ("torch", "numpy", "scikit-learn", *PEERS[name].packages)
    print(json.dumps({package: metadata.version(package) for package in packages}))


if __name__ == "__main__":
    main(*sys.argv[1:])
