"""Open a store, close it or not, fork, and open it again in the child: FOLDER LEFT_OPEN."""

import os
import sys

from entropy import Store, StoreError

store = Store(sys.argv[1])
if sys.argv[2] == "0":
    store.close()
if os.fork() == 0:
    try:
        with Store(sys.argv[1]):
            print("opened", flush=True)
    except StoreError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
