"""`trusted-keys.toml`: whose signatures a project believes, and for what. It is committed, and
reviewed like code.

    [[key]]
    name = "ada on bench"
    public_key = "ssh-ed25519 AAAA…"
    may = ["compute", "promote"]      # restore what she computed; carry out her lines of the ledger
    since = 2026-01-01                # both may be left out
    until = 2027-01-01                # what was signed before stays good
"""

import os
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from csa.errors import InputError
from csa.operations.trust.keys import Signature, is_signed, plain
from csa.pipeline.workspace import Workspace

FILE = "trusted-keys.toml"

May = Literal["compute", "promote"]

_KEYS = {"name", "public_key", "may", "since", "until"}


@dataclass(frozen=True)
class Trusted:
    """A key that is trusted.

    Attributes:
        name: of whoever holds it.
        key: public, without a name.
        may: what it is trusted for.
        since, until: the first day on which a signature counts, and the first on which it does not;
            None if it is not bounded.
    """

    name: str
    key: str
    may: frozenset[str]
    since: date | None
    until: date | None

    def covers(self, may: May, day: date) -> bool:
        """Whether a signature of that day counts for a purpose.

        Args:
            may: the purpose.
            day: of the signature.

        Returns:
            Whether it counts.
        """
        begun = self.since is None or day >= self.since
        return may in self.may and begun and (self.until is None or day < self.until)


def trusted_keys(ws: Workspace) -> list[Trusted] | None:
    """The keys that a project trusts; None if it has no trusted-keys.toml, so that nothing is
    signed.

    Raises:
        InputError: the file is not as it has to be.
    """
    path = ws.home / FILE
    if not os.path.lexists(path):
        return None
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["key"]
        return [_read(entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = str(error) if isinstance(error, InputError) else repr(error)
        raise InputError(
            f"{path}: an entry cannot be used ({said}); write it as `csa key` prints it"
        ) from None


def signer(
    keys: list[Trusted], content: bytes, signature: Signature, may: May, when: str
) -> Trusted | None:
    """Who signed, if it is somebody who is trusted for that.

    Args:
        keys: that are trusted.
        content: what was signed, the time of it among it.
        signature: of it.
        may: the purpose.
        when: the time, ISO 8601, as signed.

    Returns:
        The trusted key; None if it is nobody's.
    """
    try:
        day = datetime.fromisoformat(when).astimezone(UTC).date()
    except (ValueError, TypeError, OverflowError):  # anybody may have written it
        return None
    found = [one for one in keys if one.key == signature.key and one.covers(may, day)]
    return found[0] if found and is_signed(content, signature) else None


def _read(entry: dict[str, Any]) -> Trusted:
    unknown = entry.keys() - _KEYS
    if unknown:
        raise ValueError(f"no such key: {', '.join(sorted(unknown))}")
    may = frozenset(entry["may"])
    if not may or not may <= set(get_args(May)):
        raise ValueError(f"may is {sorted(may)}; it can hold {', '.join(get_args(May))}")
    bounds = [entry.get(key) for key in ("since", "until")]
    if not all(bound is None or type(bound) is date for bound in bounds):
        raise ValueError("since and until must be days, such as 2026-01-01")
    return Trusted(str(entry["name"]), plain(entry["public_key"]), may, *bounds)
