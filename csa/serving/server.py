"""The process: a port, a token where others reach it, and a tidy end."""

import ipaddress
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass, replace
from types import FrameType

import uvicorn

from csa.core.threads import one_thread_a_product
from csa.errors import InputError
from csa.operations import stopping
from csa.pipeline.workspace import Workspace
from csa.scoring.cells import Limits
from csa.serving.app import application
from csa.serving.following import Follower
from csa.serving.galleries import EXACT
from csa.serving.guard import Door
from csa.serving.patience import configured

TOKEN = "CSA_SERVE_TOKEN"
"""The variable that holds the token."""

_FEWEST = 16  # characters of a token
_PIXELS, _CHARACTERS = 50_000_000, 10_000
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Served:
    """What `csa serve` is asked for.

    Attributes:
        alias: which version answers.
        host, port: where; port 0 takes a free one.
        follow: seconds between two looks at the alias.
        at_once: requests that are answered or wait for it.
        exact: items of a gallery up to which it is searched exactly.
    """

    alias: str = "champion"
    host: str = "127.0.0.1"
    port: int = 8080
    follow: float = 5.0
    at_once: int = 64
    exact: int = EXACT


def serve(ws: Workspace, asked: Served) -> None:
    """Answer until a signal comes; requests that are being answered are finished.

    Args:
        ws: a workspace that was run.
        asked: where and what.

    Raises:
        InputError: no token for a port that others reach, a port that is taken, or no version with
            the alias.
        ArtifactError, EncoderError: the version cannot answer here.
    """
    door = _door(asked)
    logging.basicConfig(level=logging.WARNING, format="csa serve: %(message)s")
    with _listening(asked) as listening:
        most = min(ws.params().dataset.max_image_pixels, _PIXELS)
        follower = Follower(ws, asked.alias, Limits(most, _CHARACTERS), asked.exact)
        follower.start(asked.follow)
        config = configured(application(follower, door), door.seconds)
        _end_by_signals()
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(
            f"{follower.now.version.model} version {follower.now.number} answers at "
            f"http://{shown}:{port}",
            flush=True,
        )
        for view in follower.now.scorer.names:
            told = follower.now.galleries.about(view)
            if not told["exact"]:
                print(
                    f"{view}: {told['items']:,} items by an index, recall at 10 "
                    f"{told['recall_at_10']:.3f}",
                    flush=True,
                )
        with one_thread_a_product():  # threads of a product wait for each other at full speed
            uvicorn.Server(config).run(sockets=[listening])


def _door(asked: Served) -> Door:
    token = os.environ.get(TOKEN) or None
    if token is not None and len(token) < _FEWEST:
        raise InputError(
            f"{TOKEN} has {len(token)} characters, and {_FEWEST} are the fewest; make one with "
            f"`openssl rand -hex 24`"
        )
    door = Door(token=token, at_once=asked.at_once)
    if _is_loopback(asked.host):
        return replace(door, hosts=_LOCAL) if token is None else door
    if token is None:
        raise InputError(
            f"whoever reaches {asked.host} could ask; set a token in {TOKEN} (`openssl rand -hex "
            f"24` makes one), or serve at 127.0.0.1"
        )
    return door


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(asked: Served) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            asked.host, asked.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(1024)
    except OSError as error:
        raise InputError(
            f"cannot listen at {asked.host}:{asked.port} ({error.strerror}); name another address "
            f"with --host or --port"
        ) from None
    return opened


def _end_by_signals() -> None:
    """The server ends by itself at a signal; afterwards the process does, with its exit code."""

    def end(number: int, frame: FrameType | None) -> None:
        print("csa: stopped", file=sys.stderr)
        sys.exit(128 + number)

    stopping.leave()
    for number in stopping.SIGNALS:
        signal.signal(number, end)
