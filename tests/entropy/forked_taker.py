"""Take bits in a child that was forked while the store was open, and in others beside it: FOLDER [once].

The parent is killed, the child opens the store anew as it is told to. Prints the ranges of each lease; all leases
are read.
"""

import json
import os
import signal
import subprocess
import sys
import time

from entropy import Store


def take(store: Store) -> None:
    with store.lease(8, purpose="fork") as lease:
        lease.read(8)
        print(json.dumps(lease.ranges), flush=True)


def child(folder: str, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.001)
    with Store(folder) as store:
        for _ in range(3):
            take(store)
            subprocess.run([sys.executable, __file__, folder, "once"], check=True)


def main(folder: str, once: bool) -> None:
    parent = os.getpid()
    with Store(folder) as store:
        if once:
            take(store)
        elif os.fork() == 0:
            child(folder, parent)
            os._exit(0)
        else:
            os.kill(parent, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["once"])
