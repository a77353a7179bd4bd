"""Addresses that a run would connect to: they come from the machine, or are allowed there by name.

params.yaml travels with git, and whoever sends a change of it could name an address of their own: a
scheduler unpickles what it is sent, a webhook is told of everything. So an address that stands in
params.yaml alone is refused.
"""

import os
from pathlib import Path, PurePath
from typing import Any

from csa.errors import ParamsError
from csa.masking import masked, place

ALLOWED_VARIABLE = "CSA_ADDRESSES"
"""Hosts that params.yaml may name on this machine, between spaces."""

ALLOWED_FILE = ".csa/addresses"
"""The same, a line each, beside the project; git ignores it."""

_ADDRESSES = {("compute", "dask"): "CSA_DASK", ("notify", "url"): "CSA_NOTIFY_URL"}
_OF_MACHINE = _ADDRESSES | {("compute", "device"): "CSA_DEVICE"}
_NO_ADDRESS = (None, "local")


def of_this_machine(mapping: Any, path: Path) -> Any:
    """Parameters with the addresses and the device that this machine's environment gives; other
    addresses are held against what it allows.

    Args:
        mapping: sections of a params.yaml.
        path: of the file.

    Raises:
        ParamsError: an address stands in the file alone.
    """
    if not isinstance(mapping, dict):
        return mapping
    mapping = dict(mapping)
    for (section, key), variable in _OF_MACHINE.items():
        given, stated = os.environ.get(variable), mapping.get(section)
        if given:
            mapping[section] = {**(stated or {}), key: given}
            continue
        address = stated.get(key) if isinstance(stated, dict) else None
        is_address = (section, key) in _ADDRESSES and isinstance(address, str)
        if is_address and address not in _NO_ADDRESS:
            _check(address, f"{section}.{key}", variable, path)
    return mapping


def _check(address: str, name: str, variable: str, path: Path) -> None:
    if place(address) not in allowed(path):
        raise ParamsError(
            f"{path}: {name} is {masked(address)}, and an address in a file that git carries is "
            f"not trusted; set {variable} on this machine, or allow it with: mkdir -p "
            f"{PurePath(ALLOWED_FILE).parent} && echo {place(address)!r} >> {ALLOWED_FILE}"
        )


def allowed(path: Path) -> set[str]:
    """What this machine allows by name: hosts and ports, and schemes.

    Args:
        path: of a file or folder of the project.
    """
    found = set(os.environ.get(ALLOWED_VARIABLE, "").split())
    for folder in (path.resolve(), *path.resolve().parents):
        try:
            found |= set((folder / ALLOWED_FILE).read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError):
            continue
    return found
