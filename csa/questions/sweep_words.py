"""A sweep in words: its tables, and what unpaired items were worth in pairs."""

from statistics import fmean

import numpy as np

from csa.questions.sweep import UNPAIRED
from csa.results.sweep import SweepPart, SweepReport, SweepRow
from csa.results.words import arrow


def sweep_text(report: SweepReport) -> str:
    """A sweep in lines: recall at 1, a table each of data efficiency and noise."""
    ways = " / ".join(map(arrow, report.parts[0].directions))
    lines = [f"recall at 1 in %, {ways}, means over seeds"]
    for part in report.parts:
        title, form = {
            "groups": ("training groups", "{:,}"),
            "noise": ("shuffled pairs", "{:.0%}"),
        }[part.varied]
        heads = [form.format(place) for place in part.places]
        lines += ["", f"{title:<42}" + "".join(f"{head:>13}" for head in heads)]
        for method in part.methods:
            cells = [_recalls(part.at(method, place)) for place in part.places]
            lines.append(f"{report.methods[method]:<42}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join([*lines, *worth_text(report)])


def worth_text(report: SweepReport) -> list[str]:
    """What unpaired items brought, in words; no line where they or `csa` were not measured."""
    lines = []
    for groups, found in worth(report).items():
        low, middle, high = min(found), float(np.median(found)), max(found)
        shown = f"{middle:,.0f}" + (f" ({low:,.0f} to {high:,.0f})" if low < high else "")
        lines.append(f"{groups:,} groups with unpaired items are worth {shown} without")
    beyond = "; more than were measured counts as the most that were"
    return ["", *lines[:-1], lines[-1] + beyond] if lines else []


def worth(report: SweepReport) -> dict[int, list[float]]:
    """How many groups without unpaired items find as much as fewer with them.

    The curve without them is the mean recall at 1 over seeds and both directions against the
    logarithm of the groups, taken to rise.

    Args:
        report: a sweep with the methods `csa` and `unpaired`.

    Returns:
        Groups with unpaired items -> for each seed the groups without, at least as many and at
        most as many as were measured; empty if one of the methods was not measured.
    """
    part = SweepPart("groups", report.data_efficiency)
    sizes = [size for size in part.places if part.at("csa", size)]
    if len(sizes) < 2:
        return {}
    means = [fmean(row.recall for row in part.at("csa", size)) for size in sizes]
    curve = np.maximum.accumulate(means) + 1e-9 * np.arange(len(sizes))  # a flat part has an end
    found: dict[int, list[float]] = {}
    for row in part.rows:
        if row.method == UNPAIRED:
            equal = np.exp(np.interp(row.recall, curve, np.log(sizes)))
            found.setdefault(row.groups, []).append(max(float(equal), row.groups))
    return found


def _recalls(rows: list[SweepRow]) -> str:
    """Mean recall at 1 of each direction, in percent."""
    means = (
        100 * np.mean([row.retrieval[way].recall_at_1.value for row in rows])
        for way in rows[0].retrieval
    )
    return " / ".join(f"{mean:.1f}" for mean in means)
