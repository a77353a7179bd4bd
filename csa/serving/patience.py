"""Connections: how many there may be, and how long one may say nothing."""

import asyncio
import resource
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from csa.serving.guard import Guard

_KEPT_FREE = 256  # open files that are no connections
_TIDY_SECONDS = 10


def configured(app: Guard, silent: float) -> uvicorn.Config:
    """How uvicorn serves the application.

    Args:
        app: what answers.
        silent: seconds after which a connection is closed that has no whole request on its way.

    Returns:
        The configuration; a port is given when it runs.
    """
    most = max(64, _open_files() - _KEPT_FREE)

    class Impatient(H11Protocol):
        """uvicorn waits for the head of a request without end; this does not."""

        _idle_with: Any = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """One more; where that is too many it is closed at once."""
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.close()
            self.loop.call_later(silent, self._look)

        def _look(self) -> None:
            """Close what had nothing to answer at the look before, and has not now."""
            if self.transport.is_closing():
                return
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.cycle is self._idle_with:
                self.transport.close()
                return
            self._idle_with = self.cycle if idle else self
            self.loop.call_later(silent, self._look)

    return uvicorn.Config(
        app,
        http=Impatient,
        log_config=None,
        log_level="error",  # not every request of a stranger that is no HTTP
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_TIDY_SECONDS,
    )


def _open_files() -> int:
    """How many files this process may open, after that was raised as far as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(most, 65_536) if most != resource.RLIM_INFINITY else 65_536
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    return most
