"""Threads that are there before anything depends on them.

A pool of the standard library starts a thread when work comes. Where the system gives none (a limit
on processes, or no memory), that work stays in the queue of a pool in which nothing runs, and
whatever waits for it waits for ever. So every pool here starts its threads at once, or is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Pool = Callable[[int, str], ThreadPoolExecutor]
"""Makes a pool of so many threads that begin with this name, as `started` does."""

_SHORTAGE = "can't start new thread"


class NoThread(Exception):
    """The system starts no more threads; the message says what to do."""

    def __init__(self, what_for: str) -> None:
        super().__init__(
            f"no thread can be started for {what_for}: raise the limit on processes and threads "
            "(pids.max of the container or the service, TasksMax, ulimit -u), or free memory"
        )


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that no thread could be started."""
    return isinstance(error, NoThread) or (
        isinstance(error, RuntimeError) and _SHORTAGE in str(error)
    )


def started(
    count: int,
    name: str,
    make: Callable[..., ThreadPoolExecutor] = ThreadPoolExecutor,
) -> ThreadPoolExecutor:
    """A pool whose threads all run already, so that giving it work never fails. Raises NoThread."""
    pool = make(count, thread_name_prefix=name)
    all_there = threading.Event()
    try:
        for _ in range(count):
            pool.submit(all_there.wait)  # busy, so that the next one is given a thread of its own
    except RuntimeError as error:
        pool.shutdown(wait=False, cancel_futures=True)
        raise NoThread(name) from error
    finally:
        all_there.set()
    return pool
