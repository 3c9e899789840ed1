"""Record until no more can be written, under a limit that stands for a full disk: FOLDER LIMIT [plain].

`plain`: without the reservation of room, so that HDF5 itself meets the full disk.
"""

import resource
import signal
import sys

import numpy as np

import entropy.buffer._writer
from entropy import Store, StoreError
from entropy.testing import append_bits, start_recording


def main(folder: str, limit: int, plain: bool) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if plain:
        entropy.buffer._writer.allocate = lambda *_: None
    bits = np.random.default_rng(0).integers(0, 256, 1 << 18, dtype=np.uint8)
    with Store(folder) as store:
        record = start_recording(store)
        try:
            for index in range(100):
                append_bits(record, bits)
                print(index, flush=True)
        except StoreError as error:
            print(error, flush=True)
        record.close()
        print(store.accounts().balanced, store.accounts().free // (8 * len(bits)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["plain"])
