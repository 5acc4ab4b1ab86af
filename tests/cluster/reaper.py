"""Run a daemon and collect what its jobs leave behind: `python reaper.py PROGRAM ARGUMENT...`.

SLURM takes a zombie for a process that it cannot kill, and closes the node. Where the first process
of a machine reaps nobody (a container), this one takes in the orphans instead. It ends with the
process that started it, so that tests which are killed leave no cluster behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    """Run the command, reap everything, and end with it."""
    control = ctypes.CDLL(None).prctl
    if control(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("cannot become the reaper of orphans")
    daemon = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: daemon.send_signal(signal.SIGTERM))
    control(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    while True:
        pid, status = os.wait()
        if pid == daemon.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
