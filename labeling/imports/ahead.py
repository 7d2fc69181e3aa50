"""Reading ahead: the next items are prepared in a thread while the caller waits for the database."""

import threading
from collections.abc import Iterable, Iterator
from queue import Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 2
"""Items that wait, at most."""
_POLL_SECONDS = 0.1
_END = object()


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in the same order; `items` is iterated in another thread, without the database.

    An error of `items` is raised here. If the caller stops early, the thread has ended when this ends.
    """
    waiting: Queue[Any] = Queue(AHEAD)
    stopped = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, waiting, stopped), daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _produce(items: Iterable[Any], waiting: "Queue[Any]", stopped: threading.Event) -> None:
    """Put the items into the queue, then _END, or the error that ended them."""
    try:
        for item in items:
            if not _put(item, waiting, stopped):
                return
    except BaseException as error:  # noqa: BLE001 - raised again by the caller
        _put(error, waiting, stopped)
    else:
        _put(_END, waiting, stopped)


def _put(item: Any, waiting: "Queue[Any]", stopped: threading.Event) -> bool:
    """Wait for a place in the queue; False if nobody takes items any more."""
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=_POLL_SECONDS)
        except Full:
            continue
        return True
    return False
