"""The process between the owner and PostgreSQL: it ends the server when the owner is gone.

Run as a script by its path (`python -I -S guard.py …`, standard library only, 30 ms to start), never imported by the
owner. Why a process of its own:

- A SIGKILLed owner runs no code, so somebody else must notice. The guard holds the read end of a pipe whose
  write end the owner holds: end of file is the owner's death, told by the kernel at once on every system. A child
  the owner forked may hold the write end open, so the guard also looks at its parent's pid twice a second.
- PR_SET_PDEATHSIG straight from the owner would fire when the *thread* that spawned the server ends. The guard
  has one thread, so between it and the server the flag is sound: it is the second wall (Linux), for a guard that is
  SIGKILLed itself. It is set after the change of user, which clears it.
- The guard changes the user between fork and exec without running Python in a forked thread of the owner.

SIGINT asks PostgreSQL for a *fast* shutdown: clients are cut off, a checkpoint is written, nothing is recovered at
the next start. If that takes too long: SIGQUIT (immediate; the next start recovers), then SIGKILL. SIGTERM would be
the smart shutdown, which waits for clients for ever. The guard itself ignores SIGINT, SIGTERM and SIGHUP: a
terminal's Ctrl-C or a service manager's stop reaches the owner, which drains first and needs its database for it.

Usage: guard.py OWNER_PID UID GID COMMAND [ARGUMENT...]; stdin is the pipe, stdout and stderr the server's log.
The guard's exit code is the server's, or 128 + the signal that killed it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

FAST_S = 10.0
IMMEDIATE_S = 6.0  # PostgreSQL itself gives its children 5 s before it kills them
KILL_S = 2.0
TOTAL_S = FAST_S + IMMEDIATE_S + KILL_S

_OWNER_POLL_S = 0.5
_PR_SET_PDEATHSIG = 1
_CANNOT_START = 127


def main(arguments: list[str]) -> int:
    """Start the server, wait until it ends or the owner does, and return the exit code."""
    owner, uid, gid = (int(argument) for argument in arguments[:3])
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    wakeup = _wakeup_on_child_exit()
    server = _spawn(arguments[3:], uid=uid, gid=gid)
    while (code := _exit_code(server)) is None:
        readable, _, _ = select.select([0, wakeup], [], [], _OWNER_POLL_S)
        if 0 in readable or os.getppid() != owner:
            return _stop(server, wakeup)
        _drain(wakeup)
    return code


def _spawn(command: list[str], *, uid: int, gid: int) -> int:
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.umask(0o077)
        if uid != os.geteuid():
            os.setgroups([gid])
            os.setgid(gid)
            os.setuid(uid)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != guard:  # it died before the flag was set
            os._exit(_CANNOT_START)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # what is ignored stays ignored through exec
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as exc:
        print(f"agent-worker: {command[0]} cannot be started: {exc}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(_CANNOT_START)


def _stop(server: int, wakeup: int) -> int:
    for number, patience_s in (
        (signal.SIGINT, FAST_S),
        (signal.SIGQUIT, IMMEDIATE_S),
        (signal.SIGKILL, KILL_S),
    ):
        os.kill(server, number)  # not reaped yet, so the pid is still its own
        deadline = time.monotonic() + patience_s
        while (left_s := deadline - time.monotonic()) > 0:
            code = _exit_code(server)
            if code is not None:
                return code
            select.select([wakeup], [], [], left_s)
            _drain(wakeup)
    return _CANNOT_START


def _exit_code(server: int) -> int | None:
    pid, status = os.waitpid(server, os.WNOHANG)
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _wakeup_on_child_exit() -> int:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return read_end


def _drain(wakeup: int) -> None:
    try:
        os.read(wakeup, 512)
    except BlockingIOError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
