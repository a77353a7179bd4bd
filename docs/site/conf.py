"""The site: every page of the repository, and the Python reference out of docstrings (`make site`).

The sections of docs/README.md are the sections of the sidebar; a page is listed in one place.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

from csa import __version__

ROOT = Path(__file__).parents[2]
project, author, release = "CSA", "the authors of CSA", __version__
copyright = "the authors of CSA, MIT licence"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
root_doc = "README"
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md", "benchmarks/README.md"]

myst_heading_anchors = 4
default_role = "code"  # docstrings write `name`
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"CSA {release}"
html_copy_source = False
html_show_sphinx = False
templates_path = ["templates"]
html_additional_pages = {"index": "to_the_front_page.html"}

_SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
_PAGE = re.compile(r"\]\(([\w./-]+)\.md\)")


def sidebar(contents: str) -> str:
    """Hidden tables of contents, one a section of docs/README.md, that the sidebar shows."""
    trees = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *_pages(text), "```"])
        for title, text in _SECTION.findall(contents)
    ]
    overview = "```{toctree}\n:hidden:\n\ndocs/README\n```"
    return "\n\n" + "\n\n".join([overview, *trees]) + "\n"


def _pages(text: str) -> list[str]:
    found = dict.fromkeys(_PAGE.findall(text))
    return [name.removeprefix("../") if name[:3] == "../" else f"docs/{name}" for name in found]


def _with_contents(app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        contents = ROOT / "docs" / "README.md"
        app.env.note_dependency(str(contents))
        source[0] += sidebar(contents.read_text(encoding="utf-8"))
    elif name == "docs/decisions/README":
        source[0] += "\n```{toctree}\n:glob:\n\n0*\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _with_contents)
