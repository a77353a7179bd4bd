"""The key of a person or a machine: Ed25519, as OpenSSH writes it, outside every repository.

A key that `ssh-keygen -t ed25519` made serves as well; `CSA_KEY` names it.
"""

import base64
import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.errors import InputError, WorkspaceError

KEY_VARIABLE = "CSA_KEY"
"""Where the private key lies, if not in the default place."""

_KIND = "ssh-ed25519"


@dataclass(frozen=True)
class Signature:
    """A signature and the public key that it is of.

    Attributes:
        key: `ssh-ed25519 …`, without a name.
        value: base64.
    """

    key: str
    value: str


@dataclass(frozen=True)
class Key:
    """A private key, open."""

    _private: Any

    @property
    def public(self) -> str:
        """The public key, as a line of OpenSSH without a name."""
        from cryptography.hazmat.primitives import serialization as form

        return str(
            self._private.public_key()
            .public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
            .decode()
        )

    def sign(self, content: bytes) -> Signature:
        """Sign bytes."""
        return Signature(self.public, base64.b64encode(self._private.sign(content)).decode())


def place() -> Path:
    """Where the private key of this person lies, or would lie."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get(KEY_VARIABLE) or Path(config) / "csa" / "key")


def own_key() -> Key | None:
    """The key of this person, None if there is none.

    Raises:
        WorkspaceError: there is a file, but no Ed25519 key without a passphrase in it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    path = place()
    if not path.is_file():
        return None
    try:
        private = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WorkspaceError(
            f"{path}: cannot be read as a private key ({error}); `csa key` makes one, or name one "
            f"without a passphrase in {KEY_VARIABLE}"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise WorkspaceError(f"{path}: not an Ed25519 key; `ssh-keygen -t ed25519` makes one")
    return Key(private)


def make_key() -> tuple[Key, bool]:
    """The key of this person, made where there is none: the key, and whether it is new.

    Raises:
        WorkspaceError: the file cannot be written, or holds no such key.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    known = own_key()
    if known is not None:
        return known, False
    private, path = Ed25519PrivateKey.generate(), place()
    content = private.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be written ({error.strerror}); name another place in {KEY_VARIABLE}"
        ) from None
    return Key(private), True


def is_signed(content: bytes, signature: Signature) -> bool:
    """Whether a signature is of these bytes by its key.

    Args:
        content: what was signed.
        signature: of it, from anywhere.

    Returns:
        Whether it is.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        public = _public(signature.key)
        public.verify(base64.b64decode(signature.value, validate=True), content)
    except (InvalidSignature, ValueError, TypeError, InputError):
        return False
    return True


def plain(public: str) -> str:
    """A public key without the name behind it.

    Args:
        public: a line of OpenSSH, `ssh-ed25519 AAAA… name`.

    Raises:
        InputError: it is no Ed25519 key.
    """
    _public(public)
    return " ".join(public.split()[:2])


def as_entry(key: Key) -> str:
    """Lines for trusted-keys.toml."""
    return (
        "[[key]]\n"
        f'name = "{getpass.getuser()} on {socket.gethostname()}"\n'
        f'public_key = "{key.public}"\n'
        'may = ["compute", "promote"]'
    )


def _public(line: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        if line.split(maxsplit=1)[0] != _KIND:
            raise ValueError(line)
        return load_ssh_public_key(line.encode())
    except (ValueError, IndexError, UnsupportedAlgorithm):
        raise InputError(
            f"{line[:40]!r}: no public key as `ssh-ed25519 AAAA…`; `csa key` shows one's own"
        ) from None
