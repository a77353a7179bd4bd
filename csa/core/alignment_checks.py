"""Whether what a file of an alignment holds is one: shapes that belong together, finite numbers,
names that are known. A file from elsewhere may be damaged, or made up.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from csa.core.preparation import Preparation, PreparationName
from csa.errors import ArtifactError

if TYPE_CHECKING:
    from csa.core.alignment import Alignment


def check_alignment(alignment: "Alignment", tensors: Mapping[str, NDArray[Any]], name: str) -> None:
    """Refuse what is no alignment.

    Args:
        alignment: as it was read.
        tensors: of its file, by name.
        name: what errors call the file.

    Raises:
        ArtifactError: a field is not what it has to be; the message names it.
    """
    for field, said in (*_of_tensors(tensors), *_of_header(alignment), *_of_shapes(alignment)):
        raise ArtifactError(
            f"{name}: its {field} {said}; the file is damaged or was made up: restore it, or fit "
            f"again"
        )


def _of_tensors(tensors: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, str]]:
    for field, values in tensors.items():
        if values.dtype.kind != "f":
            yield field, f"is of type {values.dtype}, where numbers with a point are due"
        elif not np.isfinite(values).all():
            yield field, "has NaN or infinity in it"


def _of_header(alignment: "Alignment") -> Iterator[tuple[str, str]]:
    shrinkage, pairs = alignment.shrinkage, alignment.n_pairs
    if not all(_is_number(value) and 0 <= value <= 1 for value in shrinkage):
        yield "shrinkage", f"is {tuple(shrinkage)}, not two numbers from 0 to 1"
    if not isinstance(pairs, int) or isinstance(pairs, bool) or pairs < 0:
        yield "n_pairs", f"is {pairs!r}, not a number of pairs"
    if not isinstance(alignment.notes, dict):
        yield "notes", "are no mapping"
    for prepare in (alignment.prepare_x, alignment.prepare_y):
        if prepare.name not in get_args(PreparationName):
            known = ", ".join(get_args(PreparationName))
            yield "preparation", f"is {prepare.name!r}, none of {known}"
        if not _is_number(prepare.width):
            yield "preparation", f"has width {prepare.width!r}"
    hubness = alignment.hubness
    if hubness is not None and not (
        _is_number(hubness.strength) and isinstance(hubness.neighbours, int) and hubness.neighbours
    ):
        yield "hubness", f"is {hubness.settings()}, not a strength and a number of neighbours"


def _of_shapes(alignment: "Alignment") -> Iterator[tuple[str, str]]:
    r = len(alignment.canonical_correlations)
    sides = (
        ("x", alignment.mean_x, "A", alignment.A, alignment.prepare_x),
        ("y", alignment.mean_y, "B", alignment.B, alignment.prepare_y),
    )
    for side, mean, name, projection, prepare in sides:
        yield from _unless(mean.ndim == 1, f"mean_{side}", mean)
        yield from _unless(projection.shape == (*mean.shape, r), name, projection)
        if prepare.name == "kernel":
            yield from _of_kernel(f"prepare_{side}", prepare, mean)
    correlations = alignment.training_correlations
    yield from _unless(correlations.shape == (r,), "training_correlations", correlations)
    for name, values in alignment.score.tensors().items():
        same = values.shape == alignment.score.weights.shape
        yield from _unless(same and values.ndim == 1 and len(values) <= r, name, values)
    if alignment.hubness is not None:
        left, right = alignment.hubness.hubs_left, alignment.hubness.hubs_right
        same = left.ndim == right.ndim == 2 and left.shape[1:] == right.shape[1:]
        yield from _unless(same, "hubs_left", left)


def _of_kernel(name: str, prepare: Preparation, mean: NDArray[Any]) -> Iterator[tuple[str, str]]:
    centres, mixing = prepare.centres, prepare.mixing
    fits = centres.ndim == 2 and mixing.shape == (len(centres), len(mean))
    yield from _unless(fits, f"{name}_mixing", mixing)


def _unless(fits: bool, field: str, values: NDArray[Any]) -> Iterator[tuple[str, str]]:
    if not fits:
        yield field, f"has shape {values.shape}, which does not go with the others"


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    )
