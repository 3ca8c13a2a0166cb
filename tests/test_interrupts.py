"""Ctrl-C is raised at good moments, whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import weakref
from multiprocessing import get_context

import pytest

from focalsim.interrupts import deaf_children, held_interrupts


class Thing:
    pass


@pytest.fixture
def usual_handler():
    """That of a program started in a terminal; what a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def after(act, items=(1, 2)):
    """The items; then ``act``."""
    yield from items
    act()


@pytest.mark.usefixtures("usual_handler")
def test_it_is_held_back_until_it_is_asked_for():
    done = []
    with held_interrupts() as held:
        held.check()
        interrupt()
        done.append("the rest")
        with pytest.raises(KeyboardInterrupt):
            held.check()
        with pytest.raises(KeyboardInterrupt):
            next(held.during([1]))
    assert done == ["the rest"]


@pytest.mark.usefixtures("usual_handler")
def test_it_is_raised_at_once_while_an_item_is_waited_for_but_not_between_two():
    with held_interrupts() as held:
        items = held.during(after(interrupt))
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(KeyboardInterrupt):
            next(items)
    with held_interrupts() as held:
        for item in held.during(after(lambda: None)):
            if item == 2:
                interrupt()
                break
        with pytest.raises(KeyboardInterrupt):
            held.check()
    with held_interrupts() as held:
        assert list(held.during(after(lambda: None))) == [1, 2]


@pytest.mark.usefixtures("usual_handler")
def test_the_second_is_raised_at_once():
    with held_interrupts():
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


@pytest.mark.usefixtures("usual_handler")
def test_an_error_that_follows_is_the_same():
    def fail(act):
        with held_interrupts():
            act()
            raise SystemError("returned a result with an exception set")

    with pytest.raises(KeyboardInterrupt):
        fail(interrupt)
    with pytest.raises(SystemError):
        fail(lambda: None)


@pytest.mark.usefixtures("usual_handler")
def test_what_a_weak_reference_has_dropped_is_raised_later_and_not_printed(monkeypatch):
    printed = []

    def hook(dropped):
        printed.append(dropped.exc_type)

    def fail():
        raise ValueError

    def drop(act):
        thing = Thing()
        reference = weakref.ref(thing, lambda _: act())
        del thing
        assert reference() is None

    monkeypatch.setattr(sys, "unraisablehook", hook)
    with held_interrupts() as held:
        drop(fail)
        assert next(held.during(after(None, map(drop, [interrupt])))) is None
        assert printed == [ValueError]
        with pytest.raises(KeyboardInterrupt):
            held.check()
    assert sys.unraisablehook is hook


KILL_ITSELF = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('alive')"


def start(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.usefixtures("usual_handler")
def test_children_start_deaf_and_what_comes_meanwhile_is_raised_afterwards():
    said = []

    def start_and_interrupt():
        with deaf_children():
            get_context("spawn").Lock()  # asks for what multiprocessing keeps beside
            said.append(start(KILL_ITSELF))
            interrupt()
            said.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        start_and_interrupt()
    assert said == ["alive\n", "the rest"]
    assert "KeyboardInterrupt" in start(KILL_ITSELF)


def test_the_handler_goes(usual_handler):
    with held_interrupts():
        assert signal.getsignal(signal.SIGINT) is not usual_handler
    assert signal.getsignal(signal.SIGINT) is usual_handler


def test_a_program_that_handles_ctrl_c_goes_on_doing_so():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with held_interrupts() as held:
            interrupt()
            held.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [1]


def test_in_other_threads_it_does_nothing():
    done = []

    def work():
        with held_interrupts() as held:
            held.check()
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
