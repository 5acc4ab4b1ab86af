"""A handler that needs a lock which the main thread holds when the signal comes."""

from __future__ import annotations

import subprocess
import sys

WAITING = """
import os, signal, sys, threading
from attention_wavelets.interrupts import handle_in_a_thread

lock, heard = threading.Lock(), threading.Event()

def handler(number, frame):
    with lock:
        heard.set()

signal.signal(signal.SIGTERM, handler)
handle_in_a_thread(signal.SIGTERM)
with lock:
    os.kill(os.getpid(), signal.SIGTERM)
    assert not heard.wait(0.2)
sys.exit(0 if heard.wait(30) else 1)
"""


def test_a_handler_waits_beside_the_main_thread():
    assert subprocess.run([sys.executable, "-c", WAITING], timeout=60, check=False).returncode == 0


def test_a_signal_that_nothing_handles_stays_so():
    code = """
import signal
from attention_wavelets.interrupts import handle_in_a_thread
handle_in_a_thread(signal.SIGTERM)
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
