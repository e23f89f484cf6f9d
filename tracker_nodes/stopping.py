# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, SIGTERM and SIGHUP end a process at any moment, with exit status 0.

Nothing slow is imported here: an executable calls `watch` first and imports the rest then. A
thread of its own learns of the signals, since the main thread may sit in a library for seconds.
Until `end_orderly` is called there is nothing to close, and the process ends on the spot; from
then on `is_requested` tells the main thread to come to an end, and what has not ended after
`GRACE` is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 1.5  # seconds from the first signal to the end of the process, whatever it is doing

_lock = threading.Lock()
_is_watching = False
_is_orderly = False
_requested = threading.Event()


class StoppedError(Exception):
    """Raised by `check` once the process has been asked to end."""


def watch() -> None:
    """Take over the signals, also those that were blocked until now; once, in the main thread."""
    global _is_watching
    if _is_watching:
        return
    _is_watching = True
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    threading.Thread(target=_wait, args=(source,), name='signals', daemon=True).start()
    signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    for number in SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started by nohup
        signal.signal(number, lambda *_: None)  # the thread does it
        signal.siginterrupt(number, False)  # system calls of the libraries go on
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _wait(source: int) -> None:
    while os.read(source, 1)[0] not in SIGNALS:
        pass
    with _lock:
        _requested.set()
        if not _is_orderly:
            os._exit(0)
    time.sleep(GRACE)
    os._exit(0)


def end_orderly() -> None:
    """From here on a signal sets `is_requested` instead of ending the process at once."""
    global _is_orderly
    with _lock:
        _is_orderly = True


def is_requested() -> bool:
    """Whether a signal has asked the process to end."""
    return _requested.is_set()


def check() -> None:
    """Give up if a signal has asked for it.

    Raises:
        StoppedError: A signal has come.
    """
    if is_requested():
        raise StoppedError


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Hold signals back; a process that is started meanwhile begins with them blocked, so that
    none is lost before it can `watch`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def execute(main: Callable[[], int]) -> NoReturn:
    """Run a program to its end, and end the process without the interpreter's finalization.

    Threads of torch and of DDS that still run then would abort the process.

    Args:
        main: Returns the exit status.
    """
    watch()
    try:
        status = main()
    except SystemExit as end:  # of argparse, which has said why
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        status = 1
        if not is_requested():
            traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0 if is_requested() else status)
