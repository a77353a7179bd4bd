"""Python processes by fork: what `python -m MODULE ...` does, without the time its imports take.

A server has imported everything and used nothing. Whoever asks for a process gets a fork of it,
with the folder, the variables and the files that were asked for; its exit code comes back on the
same connection.
"""

import gc
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

_PYTHON = re.compile(r"^(?:\S*/)?python[\d.]* -m ((?:csa\.(?:cli|pipeline|operations)|dvc)\b.*)$")
LEARN = "FORKS_LEARN"
_FILES = ("stdin", "stdout", "stderr")


class Popen(subprocess.Popen):
    """`subprocess.Popen`, where Python with a module of csa or DVC is a fork of the server."""

    address = None

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        module = None if self.address is None else _module(args)
        if module is None:
            super()._execute_child(
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *options = rest
        session = options[5]
        files = [own if own != -1 else n for n, own in enumerate((p2cread, c2pwrite, errwrite))]
        self._link = ask(self.address, module, cwd, env, files, session)
        self.pid = int.from_bytes(self._link.recv(8), "little")
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _internal_poll(self, _deadstate=None, **_):
        if not hasattr(self, "_link"):
            return super()._internal_poll(_deadstate)
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode

    def _try_wait(self, wait_flags):
        if not hasattr(self, "_link"):
            return super()._try_wait(wait_flags)
        timeout = 0 if wait_flags & os.WNOHANG else None
        if not select.select([self._link], [], [], timeout)[0]:
            return 0, 0
        said = self._link.recv(8)
        return self.pid, int.from_bytes(said, "little") if said else 9


def _module(args):
    """The words after `python -m`, where that is what is called."""
    words = args if isinstance(args, str) else " ".join(map(str, args))
    found = _PYTHON.match(words)
    if found is None and not isinstance(args, str) and len(args) > 1 and args[-2] == "-c":
        found = _PYTHON.match(args[-1])  # DVC gives a stage's command to a shell
    if found is None:
        return None
    return found[1].split() if isinstance(args, str) or args[-2] == "-c" else list(args[2:])


def ask(address, module, cwd, env, files, session=True):
    """Have a process started; the connection says its process id, and at its end its status."""
    link = socket.socket(socket.AF_UNIX)
    link.connect(address)
    wanted = {
        "module": list(module),
        "cwd": os.fspath(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "session": bool(session),
    }
    text = json.dumps(wanted).encode()
    socket.send_fds(link, [len(text).to_bytes(8, "little")], files)
    link.sendall(text)
    return link


def serve(address, prepare, warm):
    """Fork on demand until the one who started us is gone.

    Args:
        address: of the socket.
        prepare: called in every fork before its module runs.
        warm: called once, when all is imported.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)  # whoever sees it can connect
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    links, parent = {}, os.getppid()
    while os.getppid() == parent:
        ready = select.select([listener, woken], [], [], 1)[0]
        if woken in ready:
            os.read(woken, 4096)
        if listener in ready:
            link, _ = listener.accept()
            pid = _fork(listener, link, prepare, warm)
            if not pid:
                continue
            links[pid] = link
            link.sendall(pid.to_bytes(8, "little"))
        _reap(links)


def _reap(links):
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with suppress(OSError), links.pop(pid) as link:
                link.sendall(status.to_bytes(8, "little"))


def _fork(listener, link, prepare, warm):
    size, files, _, _ = socket.recv_fds(link, 8, 3)
    text, left = b"", int.from_bytes(size, "little")
    while len(text) < left:
        text += link.recv(left - len(text))
    wanted = json.loads(text)
    if wanted["module"] == ["import"]:
        import_all(_learnt())
        warm()
        gc.collect()
        gc.freeze()  # forks neither look through what is there already nor copy its pages for it
        link.close()
        return 0
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        return pid
    code = 70
    try:
        listener.close()
        link.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = _run(wanted, files, prepare)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
            _note_imports()
        os._exit(code)


def _run(wanted, files, prepare):
    """What Python does with `-m`; the exit code."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    for name, mode in zip(_FILES, ("r", "w", "w"), strict=True):
        number = _FILES.index(name)
        setattr(sys, name, os.fdopen(number, mode, closefd=False, errors="replace"))
    if wanted["session"]:
        os.setsid()
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = wanted["module"]
    prepare()
    name = wanted["module"][0]
    if not hasattr(sys.modules.get(name), "__path__"):
        sys.modules.pop(name, None)  # a module that is there already makes runpy warn
    try:
        runpy.run_module(wanted["module"][0], run_name="__main__", alter_sys=True)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def _note_imports():
    """For `import`: which modules this process has."""
    if LEARN in os.environ:
        with Path(os.environ[LEARN]).open("a") as file:
            file.write("".join(f"{name}\n" for name in list(sys.modules)))


def _learnt():
    return dict.fromkeys(Path(os.environ[LEARN]).read_text().split())


def import_all(names):
    """Import modules; what cannot be imported is left to whoever needs it."""
    for name in names:
        with suppress(BaseException):
            import_module(name)
