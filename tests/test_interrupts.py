"""Ctrl-C that Python drops is raised at the next opportunity."""

from __future__ import annotations

import signal
import sys
import threading
import weakref

import pytest

from focalsim.interrupts import remembered_interrupts


class Thing:
    pass


@pytest.fixture
def usual_handler():
    """That of a program started in a terminal; what a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_handler")
def test_what_a_weak_reference_has_dropped_is_raised_later(monkeypatch):
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    with remembered_interrupts() as check:
        check()
        thing = Thing()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        assert reference() is None
        assert [one.exc_type for one in dropped] == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            check()


def test_others_are_raised_at_once_and_the_handler_goes(usual_handler):
    with pytest.raises(KeyboardInterrupt), remembered_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is usual_handler


def test_a_program_that_handles_ctrl_c_goes_on_doing_so():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with remembered_interrupts() as check:
            signal.raise_signal(signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [1]


def test_in_other_threads_it_does_nothing():
    done = []

    def work():
        with remembered_interrupts() as check:
            check()
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
