"""Telling a webhook what a run came to: Slack, Mattermost, or anything that takes JSON by POST."""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from csa.operations.runs.executions import Execution
from csa.params.project import NotifyParams

URL_VARIABLE = "CSA_NOTIFY_URL"

_TRIES = 3
_PAUSE_SECONDS = 2.0
_TIMEOUT_SECONDS = 10.0


def event_of(execution: Execution) -> str:
    """The name of what happened, as `notify.events` has them."""
    if execution.outcome != "done":
        return "failed" if execution.outcome == "interrupted" else execution.outcome
    return "promoted" if execution.verdict == "promote" else "kept"


def tell(settings: NotifyParams, execution: Execution) -> str | None:
    """Post an execution, if somebody wants to know of it.

    The body is JSON: `text`, one line for people, which chat services show; `event`; and
    `execution`, all of it.

    Returns:
        What to say where it was wanted and did not arrive; a run does not fail for that.
    """
    url, event = os.environ.get(URL_VARIABLE) or settings.url, event_of(execution)
    if not url or event not in settings.events:
        return None
    return post(
        url, {"text": f"csa {event}: {execution}", "event": event, "execution": execution.as_dict()}
    )


def post(url: str, body: dict[str, Any]) -> str | None:
    """Post JSON, three tries; returns what went wrong, without the address, which may be a
    secret.
    """
    said = ""
    for attempt in range(_TRIES):
        try:
            request = urllib.request.Request(
                url, json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            said = f"it answered {error.code}"
            if error.code < 500:  # the same request is wrong again
                break
        except (OSError, ValueError) as error:
            said = (
                type(error).__name__
                if isinstance(error, ValueError)
                else str(getattr(error, "reason", error))
            )
        time.sleep(_PAUSE_SECONDS * 2**attempt if attempt + 1 < _TRIES else 0)
    return f"the webhook was not told ({said})"
