"""What is white in pictures of more than 8 bits: their data set says it, not each alone.

A camera of 12 bits writes values up to 4,095 into files of 16 bits, and floating point has no
white of its own. The pairs table says another white than usual in the item's value, NAME?white=N,
and the item's hash is of both, so features of another white are never taken for these.
"""

from typing import TypeAlias

from csa.modalities.image import WHITES, usual_white

Deep: TypeAlias = dict[str, tuple[str, float]]
"""Value -> the mode and the peak of a picture of more than 8 bits."""


def whites_of(deep: Deep) -> dict[str, int]:
    """The least level that holds all values of a kind, whole numbers or floating point.

    Args:
        deep: the pictures of one view.

    Returns:
        Value -> white, where it is another than the picture's own values say.
    """
    found: dict[str, int] = {}
    for floats in (False, True):
        peaks = {value: peak for value, (mode, peak) in deep.items() if (mode == "F") == floats}
        most = max(peaks.values(), default=0)
        white = next((one for one in WHITES[not floats :] if most <= one), WHITES[-1])
        usual = {value: usual_white("F" if floats else "I", peak) for value, peak in peaks.items()}
        found |= {value: white for value in peaks if white != usual[value]}
    return found


def white_notes(view: str, deep: Deep) -> list[str]:
    """What is said of the pictures whose white is another than usual.

    Args:
        view: its name.
        deep: the pictures of the view.

    Returns:
        A sentence for each white.
    """
    peaks: dict[int, list[float]] = {}
    modes: dict[int, set[str]] = {}
    for value, white in whites_of(deep).items():
        mode, peak = deep[value]
        peaks.setdefault(white, []).append(peak)
        modes.setdefault(white, set()).add(mode)
    return [
        f"{len(found)} pictures of view {view!r} have more than 8 bits, with values up to "
        f"{max(found):,.6g}; {white:,} is taken for white in them"
        + (
            "; of colours only the upper 8 bits are read, so write them as 8 bits"
            if modes[white] & {"RGB", "RGBA"}
            else ""
        )
        for white, found in peaks.items()
    ]
