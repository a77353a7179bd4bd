"""Scores of held-out pairs as a file that holds no code: what verdicts travel with."""

from pathlib import Path

from csa.errors import ArtifactError
from csa.evaluation.conformal import Calibration, PairCalibration
from csa.storage.container import load_tensors, save_tensors

_KIND = "calibration"


def write_calibration(path: Path, judge: PairCalibration) -> None:
    """Write what pairs are judged by; equal scores give equal bytes.

    Args:
        path: of the file.
        judge: scores of held-out pairs.
    """
    kinds = {"true": judge.true, "strangers": judge.strangers}
    tensors = {
        f"{kind}_{part}": getattr(one, part)
        for kind, one in kinds.items()
        for part in ("scores", "weight")
    }
    header = {"groups": {kind: one.groups for kind, one in kinds.items()}}
    save_tensors(path, _KIND, header, tensors)


def read_calibration(path: Path) -> PairCalibration:
    """Read a file that `write_calibration` wrote.

    Args:
        path: of the file.

    Returns:
        What pairs are judged by.

    Raises:
        ArtifactError: no such file, damaged, or of another kind.
    """
    header, tensors = load_tensors(path, _KIND)
    try:
        true, strangers = (
            Calibration(
                tensors[f"{kind}_scores"], tensors[f"{kind}_weight"], header["groups"][kind]
            )
            for kind in ("true", "strangers")
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: lacks {error}; register the run again") from None
    return PairCalibration(true, strangers)
