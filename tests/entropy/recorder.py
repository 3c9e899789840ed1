"""Record blocks of known bits, saying each one after it was committed: FOLDER PULSES BLOCKS PAUSE ROTATE.

Bits of block i of the recording: numpy's default_rng(i). BLOCKS 0: until killed. Lines: `uuid`, then `i`.
"""

import sys
import time

import numpy as np

from entropy import Store
from entropy.testing import append_bits, start_recording

CELLS = 256


def main(folder: str, pulses: int, blocks: int, pause: float, rotate: int) -> None:
    with Store(folder) as store:
        with start_recording(store, CELLS, rotate_bytes=rotate) as recording:
            print(recording.uuid, flush=True)
            index = 0
            while not blocks or index < blocks:
                bits = np.random.default_rng(index).integers(0, 256, pulses * CELLS // 8, dtype=np.uint8)
                append_bits(recording, bits, host_time=time.time())
                print(index, flush=True)
                index += 1
                time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
