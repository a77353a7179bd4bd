"""What the pages say holds: their Python runs, their commands exist, their links and the tests that
they name are there.
"""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import click
import pytest

import csa.errors
from csa.cli import main as cli
from docs import notebook
from docs.generate import main as generate
from docs.tested import faults, promises
from docs.walk import walk

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TESTS = {
    path.stem: re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    for path in sorted((ROOT / "tests").glob("**/test_*.py"))
}


def name_of(page):
    return str(page.relative_to(ROOT))


def commands(page):
    """Every line of a page's code blocks that calls `csa`, without its comment."""
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh", "bash", "console"):
            for line in text.replace("\\\n", " ").splitlines():
                typed = line.removeprefix("$ ")
                if re.match(r"csa( -|  ?[a-z]+( |$))", typed) and "  run " not in typed:
                    yield typed


def found(words):
    """The command that a line calls, and what follows it.

    Raises:
        KeyError: there is no such command.
    """
    command, rest = cli, words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def test_the_readme_has_100_lines_and_its_python_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    monkeypatch.chdir(tmp_path)
    (example,) = (code for language, code in BLOCK.findall(text) if language == "python")
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert (names["best_text_of_each_image"] == range(100)).mean() > 0.5, "chance is 1 %"
    assert (tmp_path / "alignment.safetensors").is_file()
    assert "nats" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_of_a_page_exist(page):
    if page.name == "cli.md":
        return  # made from the commands
    named = re.findall(r"`csa ([a-z-]+)[ `]", page.read_text(encoding="utf-8"))
    unknown = [name for name in named if name not in cli.commands]
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        if not words or words[0].isupper() or words[0] == "COMMAND":
            continue
        try:
            command, rest = found(words)
        except KeyError:
            unknown.append(line)
            continue
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        unknown += [line] if given - options - {"--help"} else []
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_targets_of_make_that_a_page_names_are_there(page):
    text, makefile = (path.read_text(encoding="utf-8") for path in (page, ROOT / "Makefile"))
    named = re.findall(r"(?:^|`)make ([a-z][a-z-]*)(?=[` ]|$)", text, re.MULTILINE)
    there = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(named) <= there


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        path = (page.parent / target) if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            lost.append(link)
    assert not lost


def anchors(page):
    """The anchors of a page's headings, as hosts of Markdown make them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_page_has_its_place_in_the_sidebar():
    contents = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {
        (ROOT / "docs" / target).resolve()
        for target in re.findall(r"\]\(([^)#\s]+\.md)\)", contents)
    }
    own = {ROOT / "README.md", ROOT / "docs" / "README.md"}
    decisions = set((ROOT / "docs" / "decisions").glob("0*.md"))
    assert {*PAGES, *ROOT.glob("*.md")} - own - decisions <= linked
    kinds = re.findall(r"^## (.+)$", contents, re.MULTILINE)
    assert {"How to", "Reference", "Why"} <= set(kinds)


def test_every_public_name_has_its_entry():
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    entries = set(re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)$", text, re.MULTILINE))
    errors = {
        f"csa.errors.{name}"
        for name, one in vars(csa.errors).items()
        if isinstance(one, type) and issubclass(one, csa.CSAError) and one is not csa.CSAError
    }
    assert errors | {f"csa.{name}" for name in csa.__all__} <= entries
    for entry in entries - {"csa.__version__"}:
        home, _, name = entry.rpartition(".")
        assert getattr(importlib.import_module(home), name).__doc__, entry


@pytest.mark.parametrize("name", [name for name in csa.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_and_its_methods_do(name):
    found = getattr(csa, name)
    assert inspect.getdoc(found)
    silent = [
        member
        for member, value in inspect.getmembers(found)
        if not member.startswith("_")
        and (callable(value) or isinstance(value, property))
        and not inspect.getdoc(value)
    ]
    assert not silent


def test_the_notebook_shows_what_its_cells_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = notebook.read()
    code = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5
    for cell, shown in zip(code, notebook.run(kept), strict=True):
        assert texts(shown) == texts(cell["outputs"]), "python -m docs.notebook writes it anew"
        assert [sorted(one.get("data", ())) for one in shown] == [
            sorted(one.get("data", ())) for one in cell["outputs"]
        ]


def texts(outputs):
    """What a cell says, with numbers to two digits: their last ones differ between processors."""
    said = (one.get("text") or one["data"].get("text/plain", ()) for one in outputs)
    return re.sub(r"(\d\.\d\d)\d+", r"\1", "".join("".join(lines) for lines in said))


def test_a_tutorial_is_walked_through(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nexport NAME=fox\n```\n```python\nimport os\nprint(os.environ['NAME'], 7.25)\n"
        "print('end')\n```\n```text\nfox 3\n…\nend\n```\n```sh\necho $NAME > it; cat it\n```\n"
        "```text\nfox\n```\n"
    )
    folder = tmp_path / "empty"
    folder.mkdir()
    assert walk(page, folder) == [] and (folder / "it").read_text() == "fox\n"
    page.write_text(
        "```sh\necho fox\n```\n```text\ncat\n```\n```sh\nexit 3\n```\n```sh\ntouch more\n```"
    )
    said = walk(page, folder)
    assert "a line that is not written: cat" in said[0] and "exit code 3" in said[1]
    assert not (folder / "more").exists()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_a_page_names_are_there(page):
    lost = []
    for line in page.read_text(encoding="utf-8").splitlines():
        files = re.findall(r"`(?:tests/[\w/]*?)?(test_\w+)(?:\.py)?`", line)
        lost += [file for file in files if file not in TESTS]
        there = [name.removeprefix("test_") for file in files for name in TESTS.get(file, ())]
        for start in re.findall(r"\b([a-z0-9_]+)…", line) if files else []:
            if "_" in start and not any(name.startswith(start) for name in there):
                lost.append(start)
    assert not lost


def test_every_promise_has_its_tests():
    rows = promises()
    pages = {row.page for row in rows}
    assert {"reliability.md", "sharing.md", "threat-model.md"} <= pages and len(rows) > 70
    assert faults(rows) == []


def test_a_promise_without_a_test_is_named(tmp_path, monkeypatch, capsys):
    table = (
        "| fault | promise | test |\n|---|---|---|\n| a fire | none \\| lost | `test_docs` |\n"
        "| a flood | kept | `test_docs::test_no_such` |\n"
    )
    (tmp_path / "page.md").write_text(f"Words.\n\n{table}\nMore.\n", encoding="utf-8")
    rows = promises(tmp_path)
    assert rows[0].cells == ("a fire", "none \\| lost") and rows[0].tests == ()
    said = faults(rows)
    assert len(said) == 2 and "'a fire' names no test" in said[0]
    assert "'a flood' names test_docs::test_no_such, which 0 files have" in said[1]
    monkeypatch.setattr("docs.generate.promises", lambda: rows)
    assert generate(["--check"]) == 1 and "'a flood'" in capsys.readouterr().err


def test_a_page_with_faults_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```\ncsa nothing\n$ csa run --no-such\n```\n", encoding="utf-8")
    assert list(commands(page)) == ["csa nothing", "csa run --no-such"]
    with pytest.raises(KeyError):
        found(["nothing"])
    assert found(["run", "--json"])[0].name == "run"
