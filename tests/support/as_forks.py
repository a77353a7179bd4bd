"""The command `csa` of a shell as a fork of `warm.processes()`: `python as_forks.py ADDRESS ...`.

`in_shells` makes every bash do so. A server has to end with the process group that started it, so
`csa serve` stays a process of its own.
"""

import os
import shlex
import signal
import sys

import forks

_FUNCTION = """csa() {{
  if [ "$1" = serve ]; then command csa "$@"; else {python} {here} {address} "$@"; fi
}}
"""


def in_shells(folder, address):
    """Variables with which `csa` in a bash that a test starts is a fork of the server there."""
    path = folder / "csa.sh"
    words = {"python": sys.executable, "here": __file__, "address": address}
    path.write_text(_FUNCTION.format(**{name: shlex.quote(word) for name, word in words.items()}))
    return {"BASH_ENV": str(path)}


def main(address, *arguments):
    """Have a command of csa run with this process's folder, variables and files."""
    link = forks.ask(address, ["csa.cli", *arguments], None, None, (0, 1, 2), session=False)
    pid = int.from_bytes(link.recv(8), "little")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    said = link.recv(8)
    return os.waitstatus_to_exitcode(int.from_bytes(said, "little")) if said else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
