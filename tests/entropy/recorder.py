"""Record blocks of known bits, saying each one after it was committed: FOLDER PULSES BLOCKS PAUSE ROTATE.

Bits of block i of the recording: numpy's default_rng(i). BLOCKS 0: until killed. Lines: `uuid`, then `i`.
"""

import sys
import time

import numpy as np

from entropy import CELL_DTYPE, Store

CELLS = 256


def main(folder: str, pulses: int, blocks: int, pause: float, rotate: int) -> None:
    with Store(folder) as store:
        cells = np.zeros(CELLS, CELL_DTYPE)
        arguments = {"cells_per_pulse": CELLS, "bench": {}, "procedure": {}, "simulated": True}
        with store.record(cells=cells, rotate_bytes=rotate, **arguments) as recording:
            print(recording.uuid, flush=True)
            index = 0
            while not blocks or index < blocks:
                bits = np.random.default_rng(index).integers(0, 256, pulses * CELLS // 8, dtype=np.uint8)
                recording.append(
                    bits, 8 * len(bits), positions=8 * len(bits), sequence=index, host_time=time.time(),
                    board_time=0.0, pulses=pulses, voltage=1.0, width=1e-9, read_voltage=0.1, field=0.0,
                    temperature=300.0, failed_resets=0,
                )  # fmt: skip
                print(index, flush=True)
                index += 1
                time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
