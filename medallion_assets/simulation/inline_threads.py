"""Thread pools without threads, so that code under simulation meets its faults in one order.

Belongs here: that one switch. Does not belong here: code that needs real concurrency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    """Run what is submitted to a `ThreadPoolExecutor` at once, in the caller's thread, while inside.

    For pools that work through a list (Bronze's reader, scans, pyiceberg's manifests). A task that waits for another of
    its pool never ends.
    """
    real = ThreadPoolExecutor.submit
    ThreadPoolExecutor.submit = _at_once  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        ThreadPoolExecutor.submit = real  # type: ignore[method-assign]


def _at_once(self: ThreadPoolExecutor, act: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(act(*args, **named))
    except BaseException as error:  # noqa: BLE001 - as a pool does: who asks for the result gets it
        future.set_exception(error)
    return future
