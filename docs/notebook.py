"""Run docs/quickstart.ipynb, and keep what its cells show.

python -m docs.notebook            run it, and write what it shows into it

A cell's last expression is shown as Jupyter shows it: by `_repr_html_` where it has one. A figure
of matplotlib is shown under the cell that draws it.
"""

import ast
import base64
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib

NOTEBOOK = Path(__file__).parent / "quickstart.ipynb"


def read() -> dict[str, Any]:
    """The notebook as it lies in the repository."""
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return notebook


def run(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Run all code cells, in order and in one namespace.

    Args:
        notebook: of format 4.

    Returns:
        Outputs of each code cell, in the notebook's format.
    """
    matplotlib.use("agg")
    names: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_outputs("".join(cell["source"]), names) for cell in cells]


def _outputs(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    from matplotlib import pyplot

    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, NOTEBOOK.name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)
    shown = [_stream(printed.getvalue())] if printed.getvalue() else []
    if value is not None:
        texts = {"text/plain": str(value)}
        if hasattr(value, "_repr_html_"):
            texts["text/html"] = value._repr_html_()
        shown.append(_display({kind: _lines(text) for kind, text in texts.items()}))
    for number in pyplot.get_fignums():
        png = io.BytesIO()
        pyplot.figure(number).savefig(png, dpi=80, bbox_inches="tight", metadata={"Software": None})
        shown.append(_display({"image/png": base64.b64encode(png.getvalue()).decode() + "\n"}))
    pyplot.close("all")
    return shown


def _stream(text: str) -> dict[str, Any]:
    return {"name": "stdout", "output_type": "stream", "text": _lines(text)}


def _display(data: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Run the notebook and write its outputs."""
    notebook = read()
    code = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    for number, (cell, shown) in enumerate(zip(code, run(notebook), strict=True), start=1):
        cell["execution_count"], cell["outputs"] = number, shown
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
