"""Figures that are empty, for what is not about their looks: drawing them takes most of a report's
time.
"""


def draw_nothing(figure, file, format, **_):
    """In place of matplotlib's `Figure.savefig`."""
    file.write('<svg viewBox="0 0 1 1"/>' if format == "svg" else b"a picture")
