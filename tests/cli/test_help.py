"""What `csa --help` and each command's help show, and what a word of another tool is told."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from csa.cli import main
from csa.cli.commands import SECTIONS
from csa.cli.guesses import GUESSES


def commands(group, above=()):
    """(names, command) of every command that is no group."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = list(commands(main))


def test_every_command_is_in_one_section_and_its_line_is_whole_at_80_columns():
    names = [name for lines in SECTIONS.values() for name in lines]
    assert sorted(names) == sorted(main.commands)
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    width = max(map(len, names))
    for section, lines in SECTIONS.items():
        assert f"\n{section}:\n" in shown
        for name, line in lines.items():
            assert f"  {name:<{width}}  {line}\n" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=str)
def test_every_command_has_an_example_of_its_own_that_click_can_read(names, command):
    _, _, text = command.help.partition("Example")
    examples = re.findall(r"^ *(csa (?:.*\\\n)?.*)$", text, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example.replace("\\\n", " ").partition(" < ")[0].partition(" >")[0])
        assert tuple(words[1 : 1 + len(names)]) == names
        command.make_context(words[1], words[1 + len(names) :], **main.context_settings)


def test_a_word_of_another_tool_is_told_what_does_it_here(capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main.main(["repro"], prog_name="csa")
    said = "csa: error: No such command 'repro'; `csa run` does this; see `csa --help`\n"
    assert capsys.readouterr() == ("", said)


def test_what_guesses_name_is_there_and_no_guess_is_a_command():
    words = [word for guess in GUESSES for word in guess.words]
    assert len(words) == len(set(words)) and not set(words) & set(main.commands)
    for guess in GUESSES:
        for name, option in re.findall(r"`csa ([a-z][a-z-]*)(?: (--[a-z]+))?", guess.here):
            options = [text for one in main.commands[name].params for text in one.opts]
            assert not option or option in options
