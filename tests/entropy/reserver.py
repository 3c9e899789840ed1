"""Hold a reservation until killed: FOLDER BITS."""

import sys
import time

from entropy import Store

with Store(sys.argv[1]) as store, store.reserve(int(sys.argv[2]), purpose="reserver"):
    print("reserved", flush=True)
    time.sleep(60)
