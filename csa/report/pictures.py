"""The figures and retrieval sheets of a run as PNG, for those who have no browser at hand."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from csa.figures.classes import confusion_chart, cost_chart, coverage_chart
from csa.figures.detection import mismatch_chart, out_of_context_chart, roc_chart
from csa.figures.methods import contenders_chart
from csa.figures.rendering import save_png
from csa.figures.retrieval import recall_chart
from csa.figures.sheets import held_out_sheets
from csa.figures.style import Chart
from csa.report.run import spectrum_of
from csa.report.source import Measured, Source
from csa.results.task import OutOfContextTaskMetrics


def draw_pictures(source: Source, folder: Path) -> None:
    """Draw everything that was measured of a run; the same source gives the same bytes.

    Args:
        source: of the run.
        folder: where to; what it holds is replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for chart in _charts(source):
        save_png(chart.figure, folder / f"{chart.name}.png", chart.title)
    for name, task in source.tasks.items():
        for chart in _further(task):
            save_png(chart.figure, folder / "tasks" / name / f"{chart.name}.png", chart.title)
    held_out_sheets(source.ranked, source.loaders, source.params.evaluate.sheet_queries, folder)


def _charts(source: Source) -> Iterator[Chart]:
    yield spectrum_of(source)
    yield recall_chart(source.queries)
    yield mismatch_chart(source.scores)
    yield roc_chart(source.scores, source.metrics)
    yield from _further(source.further)
    if source.metrics.contenders:
        yield contenders_chart(source.metrics)


def _further(measured: Measured) -> Iterator[Chart]:
    """Of the held-out pairs or of a further task: what was measured there."""
    if measured.calibration is not None and len(measured.calibration):
        yield coverage_chart("calibration", measured.calibration)
        yield cost_chart("calibration_cost", measured.calibration)
    found, metrics = measured.classification, measured.metrics
    if found is not None and measured.images is not None and measured.classes is not None:
        yield confusion_chart("confusion", measured.images, measured.classes, found)
    if isinstance(metrics, OutOfContextTaskMetrics) and measured.rows is not None:
        yield out_of_context_chart("out_of_context", measured.rows, metrics.out_of_context)
