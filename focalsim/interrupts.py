"""Ctrl-C that comes at a good moment.

Python raises it wherever it is: in the midst of HDF5, which then cannot close its file, or in the callback of a weak
reference, where it is printed and dropped. And each process of a group that is still starting ends with a traceback of
its own.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

_Item = TypeVar("_Item")


class Interrupts:
    """Whether Ctrl-C came, and whether it is raised at once."""

    def __init__(self) -> None:
        self.came = self._at_once = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was held back, or dropped."""
        if self.came:
            raise KeyboardInterrupt

    def during(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The ``items``; while one of them is waited for, Ctrl-C is raised at once."""
        items = iter(items)
        while True:
            self._at_once = True
            try:
                self.check()
                item = next(items)
            except StopIteration:
                return
            finally:
                self._at_once = False
            yield item

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.came = self.came, True
        if self._at_once or again:
            signal.default_int_handler(number, frame)


@contextmanager
def held_interrupts() -> Iterator[Interrupts]:
    """Ctrl-C is raised where what this gives says so, or at once when it comes a second time.

    Errors that follow are what it makes of compiled code and of what is half done, and become KeyboardInterrupt too.
    Nothing changes where Ctrl-C does not raise KeyboardInterrupt, and in other threads than the main one, which alone
    gets signals.
    """
    held = Interrupts()
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield held
        return
    print_dropped = sys.unraisablehook

    def drop(dropped: Any) -> None:
        if dropped.exc_type is not KeyboardInterrupt:  # which is remembered
            print_dropped(dropped)

    signal.signal(signal.SIGINT, held._note)
    sys.unraisablehook = drop
    try:
        yield held
    except Exception as error:
        if held.came:
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = print_dropped
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started within never get Ctrl-C; one that comes meanwhile is raised here afterwards.

    A process that is still importing what it needs cannot turn it down. On Windows nothing changes.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which the first process would start, and that lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
