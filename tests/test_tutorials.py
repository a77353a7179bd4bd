"""Every tutorial, block by block, as its reader does it: what fails, and what is shown and not
written, fails the page's test.

To keep it to minutes, the pages' `csa` is a fork that leaves out Prefect and draws no figures, and
MLflow's and the code's first seconds are spared. `make tutorials` leaves out nothing.
"""

import re
from pathlib import Path

import as_forks
import first_use
import forks
import plainly
import pytest
import warm

from docs.walk import walk

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Walks through a page in a folder, and says what went wrong."""
    with warm.processes(), pytest.MonkeyPatch.context() as patch:
        variables = as_forks.in_shells(tmp_path_factory.mktemp("shell"), forks.Popen.address)
        for name, value in (variables | plainly.VARIABLES).items():
            patch.setenv(name, value)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield lambda name, folder: walk(TUTORIALS / name, folder)


@pytest.fixture(scope="module")
def your_table(reader, tmp_path_factory):
    """The folder of a reader of the first tutorial, and what went wrong there."""
    folder = tmp_path_factory.mktemp("table")
    first_use.place("mlflow", folder / ".csa" / "mlflow" / "mlflow.db")
    return folder, reader("your-table.md", folder)


def test_your_table(your_table):
    assert your_table[1] == []


def test_serve_and_search(your_table, reader):
    assert reader("serve-and-search.md", your_table[0]) == []


def test_few_pairs(reader, tmp_path):
    assert reader("few-pairs.md", tmp_path) == []


def test_nightly(reader, tmp_path):
    first_use.place("mlflow", tmp_path / "mlflow.db")
    assert reader("nightly.md", tmp_path) == []


def test_a_command_that_fails_fails_its_page(reader, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\ncsa plan nosuch.yaml\n```\n")
    (said,) = reader(page, tmp_path)
    assert "page.md: exit code 2" in said


def test_every_tutorial_is_walked_through_here_and_by_make():
    pages = {page.name for page in TUTORIALS.glob("*.md")}
    here = set(re.findall(r'reader\("([\w-]+\.md)"', Path(__file__).read_text(encoding="utf-8")))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert pages == here == set(re.findall(r"docs/tutorials/([\w-]+\.md)", makefile)) != set()
