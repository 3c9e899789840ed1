"""Damage a store in one way after the other and use it: FOLDER FIRST COUNT [KIND].

Cases FIRST to FIRST + COUNT − 1; each is wholly given by its number. Lines: `case NUMBER KIND` before each one, and
`wrong NUMBER KIND SENTENCE` where something happened that must not. A case that takes ten seconds ends the
process by an alarm, one that takes 300 MB gets no memory.
"""

import math
import os
import random
import resource
import signal
import sys
import traceback
from pathlib import Path

import fuzz_damage
import fuzz_store

MEMORY = 300 << 20
SECONDS = math.ceil(10 * float(os.environ.get("MEMTJ_TEST_SLOWNESS", "1")))


def case(folder: Path, truth: fuzz_store.Truth, number: int, only: str | None) -> tuple[str, str | None]:
    """Run one case; gives its kind, and what went wrong or None."""
    dice = random.Random(number)
    name = only or dice.choice(list(fuzz_damage.KINDS))
    print("case", number, name, flush=True)
    fuzz_store.restore(folder, truth)
    signal.alarm(SECONDS)
    try:
        fuzz_damage.KINDS[name](folder, truth, dice)
        said = fuzz_store.observe(
            folder, truth, forged=name in fuzz_damage.FORGED, reopened=name in fuzz_damage.REOPENED
        )
        if "--say" in sys.argv:
            print(said)
        return name, None
    except BaseException as error:
        if "--say" in sys.argv:
            traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        return name, f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})"
    finally:
        signal.alarm(0)


def main(folder: Path, first: int, count: int, only: str | None) -> None:
    truth = fuzz_store.make(folder)
    # private writable memory alone: a thread reserves much address space that it never uses
    status = Path("/proc/self/status").read_text()
    used = int(status.split("VmData:")[1].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
    for number in range(first, first + count):
        name, wrong = case(folder, truth, number, only)
        if wrong:
            print("wrong", number, name, wrong, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None)
