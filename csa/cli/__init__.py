"""The `csa` command: `entry` starts it, `commands` is the group that click runs.

`csa.cli.main` is that group, imported when asked for: `entry` must start where click is missing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csa.cli.commands import main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    if name != "main":
        raise AttributeError(f"module 'csa.cli' has no attribute {name!r}")
    from csa.cli.commands import main

    return main
