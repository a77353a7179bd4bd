"""What the registry says of a registered version."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from csa.errors import ArtifactError, InputError
from csa.storage.files import json_of

if TYPE_CHECKING:  # what only lists versions does not wait for polars
    import polars as pl

CHAMPION, CHALLENGER = "champion", "challenger"

REGISTERED = frozenset(
    {
        "run_id",
        "git_commit",
        "git_dirty",
        "params_hash",
        "evaluation_id",
        "alignment_sha256",
        "queries_sha256",
        "items_sha256",
        "encoders",
        "data_rule",
        "files",
        "records",
        "r1_forward",
        "mrr_forward",
        "r1_back",
        "mrr_back",
    }
)
"""Tags that a version is registered with, beside those of DVC's outputs. People may add others."""
_OF_DVC = "dvc."
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Registered:
    """The version a run is registered as, and whether this call made it."""

    version: int
    created: bool


@dataclass(frozen=True)
class Version:
    """One registered version, as read from MLflow.

    Attributes:
        model: the registered model's name.
        version: 1, 2, ...
        aliases: such as `champion`.
        created: UTC, ISO 8601.
        tags: lineage, see `_lineage`.
        mlflow_run: id of the MLflow run that holds metrics, pictures and the per-query table.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    created: str
    tags: dict[str, str]
    mlflow_run: str

    def sha256(self, key: str) -> str:
        """A tag that is the hash of a file.

        Args:
            key: of the tag.

        Raises:
            ArtifactError: it is none.
            KeyError: there is no such tag.
        """
        found = self.tags[key]
        if not _SHA256.fullmatch(found):
            raise ArtifactError(
                f"{self.model} version {self.version}: its tag {key} is no hash; restore it"
            )
        return found

    def mapping(self, key: str) -> dict[str, str]:
        """A tag that is a mapping in JSON; empty where there is none.

        Args:
            key: of the tag.

        Raises:
            ArtifactError: it is another thing.
        """
        try:
            found = json_of(self.tags.get(key, "{}"))
            if all(isinstance(value, str) for value in found.values()):
                return dict(found)
        except (ValueError, AttributeError):
            pass
        raise ArtifactError(
            f"{self.model} version {self.version}: its tag {key} cannot be read; restore it"
        )

    @property
    def registration(self) -> str:
        """One hash over all that the version was registered with."""
        return registration_of(self.tags)

    @classmethod
    def read(cls, found: Any, aliases: dict[int, list[str]]) -> "Version":
        """A version as MLflow describes it.

        Args:
            found: MLflow's description.
            aliases: number of a version -> the aliases that point at it.

        Returns:
            The version.
        """
        number = int(found.version)  # a server gives text, SQLite a number
        try:
            at = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
        except (ValueError, TypeError, OverflowError):  # somebody wrote another thing there
            at = datetime.fromtimestamp(0, UTC)
        created = at.isoformat(timespec="seconds")
        pointing = tuple(aliases.get(number, ()))
        return cls(found.name, number, pointing, created, dict(found.tags), found.run_id)


def registration_of(tags: dict[str, str]) -> str:
    """One hash over those tags that a version is registered with.

    Args:
        tags: of the version, with others.
    """
    kept = {k: v for k, v in tags.items() if k in REGISTERED or k.startswith(_OF_DVC)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def versions_table(versions: list[Version]) -> "pl.DataFrame":
    """Versions for people: one row each, in their order."""
    import polars as pl

    rows = [
        {
            "version": version.version,
            "aliases": ", ".join(sorted(version.aliases)),
            "created": version.created,
            **{
                metric: _number(version.tags.get(metric))
                for metric in ("r1_forward", "r1_back", "mrr_forward", "mrr_back")
            },
            "run_id": version.tags.get("run_id", ""),
            "commit": version.tags.get("git_commit", "")[:10]
            + ("+" if version.tags.get("git_dirty") == "true" else ""),
            "alignment": version.tags.get("alignment_sha256", "")[:12],
        }
        for version in versions
    ]
    return pl.DataFrame(rows)


def having(table: "pl.DataFrame", condition: str) -> "pl.DataFrame":
    """The versions for which a condition holds.

    Args:
        table: of `versions_table`.
        condition: in SQL, over its columns.

    Returns:
        Their rows, in order.

    Raises:
        InputError: no such column, or no condition.

    >>> import polars as pl
    >>> having(pl.DataFrame({"version": [2, 1], "mrr_back": [0.2, 0.1]}), "mrr_back > 0.15").rows()
    [(2, 0.2)]
    """
    import polars as pl

    try:
        return table.filter(pl.sql_expr(condition))
    except pl.exceptions.PolarsError as error:
        said = str(error).partition("\n")[0]
        raise InputError(
            f"--where {condition[:200]!r} cannot be answered ({said}); compare columns of `csa "
            f"models`, as in \"mrr_back > 0.2 AND aliases = ''\". They are "
            f"{', '.join(table.columns)}"
        ) from None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # somebody wrote another thing there
        return None
