"""Who is at work: the thread that compiles, or the one that answers. Python's parser bears one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Baton:
    """Held by the thread that compiles, which hands it over whenever it looks at its clock."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._nobody_waits = Event()
        self._nobody_waits.set()

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Hold it while something is compiled."""
        with self._lock:
            yield

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Hold it while an editor waits. There is one thread that answers."""
        self._nobody_waits.clear()
        with self._lock:
            try:
                yield
            finally:
                self._nobody_waits.set()

    def hand_over(self) -> bool:
        """Let an answer be given in between, where one is waited for. Nothing becomes stale by that: False."""
        if not self._nobody_waits.is_set():
            self._lock.release()
            self._nobody_waits.wait()
            self._lock.acquire()
        return False
