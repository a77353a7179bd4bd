"""The group `csa` and its commands, on click.

Exit codes: 0 done, 1 a gate or a check said no, 2 wrong use or bad input (one line, no traceback).
"""

import click

import csa
from csa.cli import pipeline, project, questions, registry, results, serving, studies, team
from csa.cli.guesses import meant
from csa.cli.net import Group

SECTIONS = {
    "Begin": {
        "init": "Make a project in this folder, around your data.",
        "doctor": "Check the installation, and say what mends it.",
        "plan": "Say what a run would do, and how long it would take.",
        "run": "Read, embed, fit, evaluate and register; the gate decides.",
        "status": "Say what is there, what is out of date, and what is champion.",
    },
    "Ask the model": {
        "search": "Find the items of one view that fit an item of the other.",
        "score": "Score how well two items belong together.",
        "classify": "Label files, without examples of the labels.",
        "serve": "Answer over HTTP, with a page to search, label and judge.",
    },
    "Look closer": {
        "metrics": "Show the metrics of every run, or ask them in SQL.",
        "report": "Write all that is known of the last run as one HTML page.",
        "choices": "Print what a fit chose, as parameters.",
        "lineage": "Show the data, code and settings behind a model.",
    },
    "Improve": {
        "advise": "Compare encoders on a sample of your pairs.",
        "suspects": "Rank the training pairs by how mislabelled they look.",
        "suggest-pairs": "Say which unpaired items to label next.",
        "sweep": "Measure what more pairs bring, beside other methods.",
    },
    "Operate": {
        "schedule": "Retrain on a schedule.",
        "models": "List the registered versions of a model.",
        "compare": "Compare two versions, query by query.",
        "approve": "Answer a promotion that waits for a person.",
        "promote": "Make a version champion by hand.",
        "rollback": "Go back to the champion before this one.",
        "ledger": "Show who made which version champion, when and why.",
    },
    "Share": {
        "remote": "Share what was computed, through a folder or a store.",
        "key": "Make your key: it signs what you share.",
        "export": "Write the model, or its vectors, for other tools.",
        "moments": "Publish what a fit needs of your data, without an item.",
        "merge": "Fit on the published moments of several teams.",
        "forget": "Remove items for good, and all that was made from them.",
    },
}
"""Section of `csa --help` -> command -> what it does, on a line of 80 columns."""


class Sections(Group):
    """A group whose help has its commands in sections."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; a word of another tool is told what does it here."""
        here = meant(args[0])
        if here is not None:
            raise click.UsageError(f"No such command {args[0]!r}; {here} does this", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, section by section."""
        return [name for lines in SECTIONS.values() for name in lines]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A list for each section, all as wide as the longest name."""
        width = max(map(len, self.commands))
        for section, lines in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), line) for name, line in lines.items()])


@click.group(
    cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
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
