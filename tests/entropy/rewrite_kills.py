"""Kill `rewrite` before each line that it runs, or each STRIDE-th, one after the other: FOLDER STRIDE.

After each kill the buffer must be whole, the old one or the new one, and the next call must finish. Prints one line of
JSON: at how many points it was killed, how often the old and the new file were found, and what was wrong.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from children import in_a_child
from known_bits import append_known, known_block, record_known

import entropy
import entropy.buffer._format
from entropy import Store, rewrite

LINES = ("_anew.py", "_rewrite.py", "_prune.py")


def make_old(folder: Path) -> None:
    """Record a store as HDF5 2.0 does by default."""
    newest, entropy.buffer._format.LIBVER = entropy.buffer._format.LIBVER, "latest"
    try:
        with Store(folder) as store, record_known(store, 2**20) as recording:
            for sequence in range(50):
                append_known(recording, sequence, *known_block(recording.uuid, sequence, 300))
    finally:
        entropy.buffer._format.LIBVER = newest


def live(folder: Path, until: int) -> None:
    left = until

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if os.path.basename(frame.f_code.co_filename) not in LINES:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    steps = rewrite(folder)
    sys.settrace(None)
    assert [step.outcome for step in steps] == ["rewritten"]


def killed_at(folder: Path, point: int) -> bool:
    code = in_a_child(lambda: live(folder, point))
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"rewriting ended with {code} at point {point}")
    return code != 0


def contents(folder: Path) -> list[Any]:
    with Store(folder) as store:
        (info,) = store.buffers()
        blocks = [store.read_block(info.uuid, index) for index in range(info.blocks)]
        bits = [[None if part is None else part.tobytes() for part in block] for block in blocks]
        rest = [store.rows(info.uuid).tobytes(), store.cells(info.uuid).tobytes(), store.bench(info.uuid)]
        return [info, store.accounts(), store.verify().problems, bits, rest]


def main(folder: Path, stride: int) -> int:
    store, kept = folder / "store", folder / "kept.h5"
    make_old(store)
    before = contents(store)
    (path,) = store.glob("*.h5")
    shutil.copy(path, kept)
    old, wrong, found, points = kept.read_bytes(), [], {"old": 0, "new": 0}, 0
    while killed_at(store, points * stride):
        found["old" if path.read_bytes() == old else "new"] += 1
        if contents(store) != before:
            wrong.append(points * stride)
        if [step.outcome for step in rewrite(store)] not in (["rewritten"], ["current"]):
            wrong.append(points * stride)
        if list(store.glob("*.partial")):
            wrong.append(points * stride)
        shutil.copy(kept, path)
        points += 1
    print(json.dumps({"points": points, "found": found, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
