"""Pools whose threads are there before anything depends on them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from smartconnectors_server.threads import NoThread, Pool, is_shortage, started


class Starved(ThreadPoolExecutor):
    """A pool that is given so many threads and no more, as under a limit on processes."""

    def __init__(self, count: int, *, thread_name_prefix: str, given: int) -> None:
        super().__init__(count, thread_name_prefix=thread_name_prefix)
        self._given = given

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._given -= 1
        if self._given < 0:
            raise RuntimeError("can't start new thread")
        return super().submit(fn, *args, **kwargs)


def starved(given: int) -> Pool:
    """Makes pools that are given so many threads."""

    def make(count: int, thread_name_prefix: str) -> ThreadPoolExecutor:
        return Starved(count, thread_name_prefix=thread_name_prefix, given=given)

    return lambda count, name: started(count, name, make)


def threads_called(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(name)]


def test_all_threads_are_there_at_once() -> None:
    pool = started(3, "ready")
    assert len(threads_called("ready")) == 3
    together = threading.Barrier(3)
    done = [pool.submit(together.wait, 10) for _ in range(3)]
    assert sorted(future.result() for future in done) == [0, 1, 2]
    assert len(threads_called("ready")) == 3
    pool.shutdown()


@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_thread_that_cannot_be_started_is_said_and_the_others_end(given: int) -> None:
    with pytest.raises(NoThread, match=r"for starving: raise the limit on processes and threads"):
        starved(given)(3, "starving")
    for thread in threads_called("starving"):
        thread.join(10)
    assert threads_called("starving") == []


def test_only_the_want_of_a_thread_is_one() -> None:
    assert is_shortage(RuntimeError("can't start new thread"))
    assert is_shortage(NoThread("x"))
    assert not is_shortage(RuntimeError("cannot schedule new futures after shutdown"))
    assert not is_shortage(OSError("can't start new thread"))
