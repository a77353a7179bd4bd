"""The group `csa` and its commands, on click.

Exit codes: 0 done, 1 a gate or a check said no, 2 wrong use or bad input (one line, no traceback).
"""

import click

import csa
from csa.cli import pipeline, project, questions, registry, results, serving, studies, team
from csa.cli.net import Group


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(csa.__version__, prog_name="csa")
def main() -> None:
    """Canonical Similarity Analysis: two frozen encoders as one multimodal model, run as a
    pipeline a team can trust.
    """


for _command in (
    *project.COMMANDS,
    *pipeline.COMMANDS,
    *results.COMMANDS,
    *questions.COMMANDS,
    *studies.COMMANDS,
    *registry.COMMANDS,
    *team.COMMANDS,
    *serving.COMMANDS,
):
    main.add_command(_command)
