"""SIGTERM for Snakemake's main process: heard at any moment, never the end of all progress."""

from __future__ import annotations

import _thread
import signal
from types import FrameType

__all__ = ["handle_in_a_thread"]


def handle_in_a_thread(number: signal.Signals) -> None:
    """Let the handler that stands for a signal run in a thread of its own.

    Snakemake's handler of SIGTERM takes the lock that its main thread holds while it chooses jobs.
    Python runs handlers in the main thread, so that a signal in that moment waits for itself for
    ever (snakemake 9.27.1, `JobScheduler.exit_gracefully`). Call from the main thread.
    """
    handler = signal.getsignal(number)
    if not callable(handler):
        return

    def aside(received: int, frame: FrameType | None) -> None:
        # No `threading.Thread`: its `start` takes a lock that the main thread may hold just now.
        _thread.start_new_thread(handler, (received, frame))

    signal.signal(number, aside)
