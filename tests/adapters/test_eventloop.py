"""Threads and the event loop, which share one interpreter."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from selectors import EVENT_READ

from qchat.adapters import eventloop

STEPS = 20


def steps() -> None:
    for _ in range(STEPS):
        eventloop.give_way()


def test_a_thread_comes_to_its_turn() -> None:
    """A thread that gives way gets on even while the loop never waits."""
    loop = asyncio.SelectorEventLoop(eventloop._Selector())
    thread = threading.Thread(target=steps, daemon=True)

    async def never_wait() -> None:
        thread.start()
        thread.join(30)

    loop.run_until_complete(never_wait())
    assert not thread.is_alive()
    loop.close()
    steps()  # and nothing is waited for when there is no loop


def test_a_thread_sees_what_the_loop_has_yet_to_see() -> None:
    """A thread gives way as soon as something has happened that the loop waits for."""
    reader, writer = os.pipe()
    with eventloop._Selector() as selector:
        selector.register(reader, EVENT_READ)
        assert not eventloop._is_wanted()
        os.write(writer, b"x")
        assert eventloop._is_wanted()
        os.read(reader, 1)
        assert not eventloop._is_wanted()
    os.close(reader)
    os.close(writer)
    assert not eventloop._is_wanted()


def test_run_calms_the_interpreter() -> None:
    """While the service runs, threads switch soon and nothing large is collected by chance."""
    script = """
import gc, sys
from qchat.adapters import eventloop
async def main():
    print(sys.getswitchinterval() < 0.001, gc.get_threshold()[2], gc.get_freeze_count() > 0)
eventloop.run(main())
"""
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["True", str(eventloop.NEVER), "True"]
    assert gc.get_threshold()[2] != eventloop.NEVER
