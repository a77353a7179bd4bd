"""`csa` on a terminal of its own, as a person at a keyboard has it."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class OnTerminal:
    """A command in the foreground of a new terminal; what it writes there is in `said`."""

    def __init__(self, command, folder, environment):
        self.master, slave = pty.openpty()

        def take_terminal():
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for number in SIGNALS:  # whoever runs the tests may ignore some
                signal.signal(number, signal.SIG_DFL)

        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509
        )
        os.close(slave)
        self._pieces = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                return
            if not piece:
                return
            self._pieces.append(piece)

    @property
    def said(self):
        return b"".join(self._pieces).decode(errors="replace").replace("\r\n", "\n")

    def commands(self):
        """The command lines of all that it has started."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                found.append(" ".join(child.cmdline()))
            except psutil.Error:
                continue
        return found

    def await_(self, condition, seconds=200):
        """Wait until a condition of this object holds."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)

    def stop(self, way, number):
        """Send a signal: "key" types Ctrl-C, "process" and "group" send it. What was alive then,
        and the exit code.
        """
        alive = psutil.Process(self.process.pid).children(recursive=True)
        before, started = len(self.said), time.monotonic()
        if way == "key":
            os.write(self.master, b"\x03")
        elif way == "group":
            os.killpg(self.process.pid, number)
        else:
            os.kill(self.process.pid, number)
        code = self.process.wait(timeout=60)
        seconds = time.monotonic() - started
        time.sleep(0.2)
        left = [one for one in alive if one.is_running() and one.status() != "zombie"]
        return code, seconds, self.said[before:], left
