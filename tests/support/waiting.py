"""Waiting for what another process does."""

import time


def wait_for(condition, seconds=30):
    """Until a condition holds; one that cannot be reached yet does not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
