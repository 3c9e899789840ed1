"""Take leases until none is left, saying what was handed out: FOLDER SEED MODE.

One JSON line per lease: its ranges and what was read of it, said before it is left. MODE `leave`: leave them
normally, half read, some by an exception; `hold`: take one, read half, say so and sleep.
"""

import json
import random
import sys
import time

from entropy import NotEnoughBits, Store


def main(folder: str, seed: int, mode: str) -> None:
    dice = random.Random(seed)
    with Store(folder, create=False) as store:
        while True:
            wanted = dice.randrange(1, 3000)
            try:
                lease = store.lease(wanted, purpose=f"taker {seed}")
            except NotEnoughBits as error:
                if error.available == 0:
                    return
                try:
                    lease = store.lease(error.available, purpose=f"taker {seed}")
                except NotEnoughBits:
                    continue
            try:
                with lease:
                    part = dice.choice([lease.bits, lease.bits, lease.bits // 2])
                    lease.read(part)
                    burned = dice.random() < 0.2
                    line = {"ranges": lease.ranges, "read": lease.read_ranges, "burned": burned}
                    print(json.dumps(line), flush=True)
                    if mode == "hold":
                        time.sleep(60)
                    if burned:
                        raise KeyError("the test's own exception")
            except KeyError:
                pass


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
