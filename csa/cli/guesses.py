"""What users of git, DVC and MLflow type first, and which command of csa does it.

`csa repro` is no command, and its error names the one that is meant. docs/cli.md shows the table.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guess:
    """Words that a user may know from another tool.

    Attributes:
        words: what they may type after `csa`.
        known_from: where the words come from.
        here: what does it here, as Markdown for an error and for the page.
    """

    words: tuple[str, ...]
    known_from: str
    here: str


GUESSES = (
    Guess(("new", "create", "start"), "other tools", "`csa init`"),
    Guess(
        ("config", "params", "settings"),
        "git, DVC",
        "params.yaml, and `--set KEY=VALUE` of a recipe",
    ),
    Guess(("repro", "exp", "train", "fit", "retrain"), "DVC, other tools", "`csa run`"),
    Guess(
        ("evaluate", "eval", "register"), "MLflow", "`csa run`, which also evaluates and registers"
    ),
    Guess(("dry-run", "check"), "other tools", "`csa plan`"),
    Guess(("info", "health", "env"), "other tools", "`csa doctor`"),
    Guess(("st", "stages", "dag"), "git, DVC", "`csa status`"),
    Guess(("find", "query", "ask"), "other tools", "`csa search`"),
    Guess(("predict", "label"), "MLflow", "`csa classify`, or `csa score` for a pair"),
    Guess(("ui", "server", "gateway"), "MLflow", "`csa serve`"),
    Guess(("show", "runs", "sql"), "DVC, MLflow", "`csa metrics`"),
    Guess(("plots", "html", "open"), "DVC", "`csa report --open`"),
    Guess(("clean", "mislabelled", "outliers"), "other tools", "`csa suspects`"),
    Guess(("annotate", "active", "suggest"), "other tools", "`csa suggest-pairs`"),
    Guess(("ls", "list", "versions", "registry"), "git, MLflow", "`csa models`"),
    Guess(("diff",), "git, DVC", "`csa compare`"),
    Guess(("log", "history", "reflog"), "git", "`csa ledger`, or `csa metrics` for all runs"),
    Guess(("blame", "trace"), "git", "`csa lineage`"),
    Guess(("revert", "undo", "reset", "restore"), "git", "`csa rollback`"),
    Guess(("accept", "confirm", "reject"), "other tools", "`csa approve`, with --no for a no"),
    Guess(("cron", "deploy"), "Prefect", "`csa schedule`"),
    Guess(
        ("push", "pull", "fetch", "share", "cache"),
        "git, DVC",
        "`csa remote add`, after which each `csa run` pulls and pushes",
    ),
    Guess(("checkout", "commit", "gc"), "DVC", "the same command of `dvc`"),
    Guess(("save", "index"), "other tools", "`csa export`"),
    Guess(("rm", "remove", "delete", "erase"), "git, DVC", "`csa forget`"),
    Guess(("keygen", "sign"), "other tools", "`csa key`"),
    Guess(("help",), "git", "`csa --help`"),
    Guess(("version",), "git, DVC", "`csa --version`"),
)


def meant(word: str) -> str | None:
    """What does here what a word does elsewhere.

    Args:
        word: what was typed in place of a command.

    Returns:
        Words for an error; None where nobody would guess this one.

    >>> meant("repro")
    '`csa run`'
    """
    return next((guess.here for guess in GUESSES if word in guess.words), None)
