"""Kill a process before each statement that it gives to the ledger, one after the other: FOLDER STORY.

Each time on a new store, where everything is checked then. STORY `make`: make the store; `use`: open one that is
there, record, rotate, wait, take leases and leave them. Prints one line of JSON, exits 1 where something was found.
"""

import contextlib
import importlib.metadata
import json
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checking import StoreCheck
from children import in_a_child
from known_bits import append_known, known_block, record_known
from taking import Said, lines_of, use

from entropy import NotEnoughBits, Store

LARGEST_BLOCK = 300  # bits


class _Mortal(sqlite3.Connection):
    """Kills the process before a statement, after noting it."""

    left = 0
    note: Callable[..., None]

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        self._count(sql)
        return super().execute(sql, *values)

    def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
        self._count(sql)
        return super().executemany(sql, *values)

    def _count(self, sql: str) -> None:
        _Mortal.left -= 1
        if _Mortal.left < 0:
            _Mortal.note(point=sql)
            os.kill(os.getpid(), signal.SIGKILL)


def _tell(store: Store, say: Said) -> None:
    """Record blocks into a segment each, and take leases from them."""
    dice = random.Random(1)
    with record_known(store, rotate_bytes=1) as recording:
        for sequence in range(3):
            append_known(recording, sequence, *known_block(recording.uuid, sequence, LARGEST_BLOCK))
            say(recording=recording.uuid, committed=sequence)
            with contextlib.suppress(NotEnoughBits):  # the wait is a part of the story
                for _ in use(store.lease(40, purpose="story", wait=0.002), dice, say):
                    pass


def _live(folder: Path, said: Path, until: int, story: str) -> None:
    if story == "use":
        Store(folder).close()
    connect = sqlite3.connect
    _Mortal.left, _Mortal.note = until, Said(said)
    sqlite3.connect = lambda *arguments, **more: connect(*arguments, factory=_Mortal, **more)
    with Store(folder) as store:
        if story == "use":
            _tell(store, _Mortal.note)


def _check(folder: Path, said: Path, story: str) -> None:
    """See that the next one needs no repair and loses nothing."""
    Store(folder).close()
    check = StoreCheck(folder, LARGEST_BLOCK, LARGEST_BLOCK)
    lines = [line for line in lines_of(said) if "point" not in line]
    check.after(lines, killed=1)
    if story == "use":
        with Store(folder) as store:
            _tell(store, Said(said.with_suffix(".next")))
        check.after(lines_of(said.with_suffix(".next")), killed=0)
    check.everything()


def _in_a_child(work: Callable[..., None], folder: Path, said: Path, *more: object) -> int:
    def tell(error: BaseException) -> None:
        Said(said)(error=f"{type(error).__name__}: {error}")

    return in_a_child(lambda: work(folder, said, *more), tell)


def _fails(folder: Path, point: int, story: str) -> tuple[bool, str]:
    """Kill at one point; returns whether the story went on so far, and what was found after it."""
    store, said = folder / str(point), folder / f"{point}.said"
    code = _in_a_child(_live, store, said, point, story)
    killed = code == -signal.SIGKILL
    if (killed or code == 0) and _in_a_child(_check, store, said, story) == 0:
        return killed, ""
    words = [line.get("point") or line.get("error") for line in lines_of(said)]
    return killed, f"{point}: " + "; ".join(" ".join(word.split())[:200] for word in words if word)


def main(folder: Path, story: str) -> int:
    folder.mkdir(parents=True)
    importlib.metadata.version("numpy")  # imports for 30 ms, which each recorder would do otherwise
    found, point, killed = [], -1, True
    while killed:
        point += 1
        killed, what = _fails(folder, point, story)
        found += [what] if what else []
    print(json.dumps({"points": point, "found": found}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
