"""Where the command `csa` starts; needs nothing that an extra brings.

A package that is missing, here or deep in a command, is one line that names the extra to install.
"""

import sys

from csa.extras import remedy_of
from csa.operations import stopping


def main() -> None:
    """Run the command line's command."""
    stopping.watch()
    try:
        from csa.cli.commands import main as group

        group(prog_name="csa")
    except ModuleNotFoundError as error:
        remedy = remedy_of(error)
        if remedy is None:
            raise
        print(f"csa: error: this command needs {remedy}", file=sys.stderr)
        sys.exit(2)
