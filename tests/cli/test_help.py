"""What `csa --help` shows."""

from click.testing import CliRunner

from csa.cli import main
from csa.cli.commands import SECTIONS


def test_every_command_is_in_one_section_and_its_line_is_whole_at_80_columns():
    names = [name for lines in SECTIONS.values() for name in lines]
    assert sorted(names) == sorted(main.commands)
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    for section, lines in SECTIONS.items():
        assert f"\n{section}:\n" in shown
        for name, line in lines.items():
            assert f"  {name:<8}  {line}\n" in shown
    assert max(map(len, shown.splitlines())) <= 80
