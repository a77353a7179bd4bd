"""Which lines of the ledger count: all, unless the project has trusted-keys.toml; then those that
this clone wrote itself, and those that a key signed which it trusts to promote.

Whoever can write to the registry can add lines to the ledger's copy there, under any name. Every
line is shown; what is decided, carried out or vouched for rests on those that count.
"""

from csa.operations.ledger import ledger
from csa.operations.ledger.ledger import Line
from csa.operations.trust.keys import Signature, own_key
from csa.operations.trust.trusted import FILE, Trusted, signer, trusted_keys
from csa.pipeline.workspace import Workspace


def counted(ws: Workspace, lines: list[Line]) -> list[Line]:
    """The lines that count, in their order.

    Args:
        ws: whose keys are trusted, and whose own lines count.
        lines: of its ledger.

    Returns:
        Those among them.

    Raises:
        InputError: trusted-keys.toml is not as it has to be.
    """
    keys = trusted_keys(ws)
    if keys is None:
        return lines
    own = ledger.own_hashes(ws.ledger)
    return [line for line in lines if line["hash"] in own or _is_signed(line, keys)]


def history(ws: Workspace, model: str) -> list[Line]:
    """The lines of one model that count, oldest first.

    Args:
        ws: whose ledger.
        model: whose lines.

    Returns:
        These lines.

    Raises:
        InputError: trusted-keys.toml is not as it has to be.
    """
    return counted(ws, ledger.history(ws.ledger, model))


def objection(ws: Workspace) -> str | None:
    """Why a move of this person would not count for others; None if it would.

    Args:
        ws: whose keys are trusted.

    Raises:
        InputError: trusted-keys.toml is not as it has to be.
        WorkspaceError: this person's key cannot be read.
    """
    keys, own = trusted_keys(ws), own_key()
    if keys is None:
        return None
    if own is None:
        return f"{FILE} trusts keys, and there is none here to sign with; `csa key` makes one"
    content = b"whether it counts today"
    if signer(keys, content, own.sign(content), "promote", ledger.now()) is None:
        return f'{FILE} does not trust the key here to promote; have `may = ["promote"]` added'
    return None


def _is_signed(line: Line, keys: list[Trusted]) -> bool:
    try:
        signature = Signature(**line["signature"])
    except (KeyError, TypeError):
        return False
    return signer(keys, ledger.signed_bytes(line), signature, "promote", line["when"]) is not None
