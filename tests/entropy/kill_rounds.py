"""Kill recorders and takers of one store at random moments, round after round, and check everything each time.

FOLDER ROUNDS [--seed N] [--mutation NAME]; prints one line of JSON, exits 1 where something was found.
A server that has imported `entropy` and opened nothing forks the recorders and takers, so that a round takes
milliseconds and each of them opens the store anew. It forks from a single thread: run it with
OPENBLAS_NUM_THREADS=1.
"""

import argparse
import collections
import contextlib
import importlib.metadata
import json
import mmap
import os
import random
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import mutations
from checking import StoreCheck
from children import end_with
from known_bits import Found, append_known, known_block, record_known
from taking import Said, lines_of, use

from entropy import Lease, NotEnoughBits, Store, StoreError

LARGEST_BLOCK = 600  # bits
LARGEST_LEASE = 6000
ROTATE_BYTES = 2000
LIFE = 20.0  # s after which a child ends by itself
STAGES = (
    "starting", "recording", "appending", "rotating", "closing", "leasing", "holding", "settling", "ended",
)  # fmt: skip
AIMS = {  # a commit is short, so most recorders die in one
    "record": ("starting", "recording", *["appending"] * 4, "rotating"),
    "take": ("starting", "leasing", "holding", "settling"),
    "family": ("leasing", "holding", "settling"),
}


class Child:
    """What a forked recorder or taker has: the store's folder, what it says, and what it is doing."""

    def __init__(self, folder: Path, said: Path, shared: mmap.mmap, number: int, seed: int) -> None:
        self.folder = folder
        self.path = said
        self.say = Said(said)
        self.dice = random.Random(seed)
        self._shared = shared
        self._number = number
        self._end = time.monotonic() + LIFE

    def running(self) -> bool:
        """Say whether to go on."""
        return not self._shared[0] and time.monotonic() < self._end

    def stage(self, name: str) -> None:
        """Note what is done next, for whoever aims at it."""
        self._shared[1 + self._number] = STAGES.index(name)


def record(child: Child) -> None:
    """Record known blocks, saying each one once it is committed."""
    with Store(child.folder) as store:
        child.stage("recording")
        with record_known(store, ROTATE_BYTES) as recording:
            sequence = used = 0
            while child.running():
                count, packed = known_block(recording.uuid, sequence, LARGEST_BLOCK)
                rotates = used + len(packed) > ROTATE_BYTES
                child.stage("rotating" if rotates else "appending")
                append_known(recording, sequence, count, packed)
                used = len(packed) + (0 if rotates else used)
                child.say(recording=recording.uuid, committed=sequence)
                sequence += 1
            child.stage("closing")


def take(child: Child) -> None:
    """Take leases as long as there are any or some may come."""
    with Store(child.folder) as store:
        while child.running():
            _take_one(child, store, wait=0.02)


def look(child: Child) -> None:
    """Take one lease of what there is: the next leasing after a death."""
    with Store(child.folder) as store:
        _take_one(child, store, wait=None)


def _take_one(child: Child, store: Store, wait: float | None) -> None:
    child.stage("leasing")
    with contextlib.suppress(NotEnoughBits):
        lease = store.lease(child.dice.randint(1, LARGEST_LEASE), purpose="kill rounds", wait=wait)
        for stage in use(lease, child.dice, child.say):
            child.stage(stage)


def family(child: Child) -> None:
    """Take leases beside a forked child that is refused everything and outlives its parent."""
    with Store(child.folder) as store:
        child.stage("leasing")
        with contextlib.suppress(NotEnoughBits), store.lease(1, purpose="family", wait=0.05) as lease:
            if os.fork() == 0:
                child.say = Said(child.path.with_suffix(".grandchild"))
                child.stage = lambda name: None  # the parent's alone
                _run(lambda heir: _inherit(heir, store, lease), child)
        while child.running():
            _take_one(child, store, wait=0.02)


def _inherit(child: Child, store: Store, lease: Lease) -> None:
    forbidden = {
        "reads its parent's lease": lambda: lease.read(1),
        "leases from its parent's store": lambda: store.lease(1, purpose="heir"),
        "opens the store under its parent's locks": lambda: Store(child.folder),
    }
    for what, attempt in forbidden.items():
        try:
            attempt()
        except StoreError:
            continue
        raise Found(f"a forked child {what}")
    while child.running():
        time.sleep(0.002)


def _run(role: Callable[[Child], None], child: Child) -> NoReturn:
    def work() -> None:
        role(child)
        child.stage("ended")

    end_with(work, lambda error: child.say(error="".join(traceback.format_exception(error))))


ROLES = {"record": record, "take": take, "family": family, "look": look}


def serve(requests: Any, answers: Any, folder: Path, mutation: str) -> None:
    """Run rounds as they are asked for, until nobody asks any more."""
    if mutation:
        mutations.apply(mutation)
    importlib.metadata.version("numpy")  # imports for 30 ms, which each recorder would do otherwise
    for request in requests:
        json.dump(_serve_round(folder, json.loads(request)), answers)
        answers.write("\n")
        answers.flush()


def _serve_round(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Start children, kill the victims, end the others; returns how and in which stage each of them ended."""
    shared = mmap.mmap(-1, 64)
    alive, held = os.pipe()
    children = [
        _start(ROLES[role], Child(folder, Path(said), shared, number, plan["seed"] + number))
        for number, (role, said) in enumerate(plan["children"])
    ]
    os.close(held)
    if plan["victims"]:
        _await_stage(shared, plan["victims"][0], plan["aim"])
        time.sleep(plan["delay"])
    for victim in plan["victims"]:
        os.kill(children[victim], signal.SIGKILL)
    time.sleep(plan["linger"])
    shared[0] = 1
    codes = [_end(pid) for pid in children]
    os.read(alive, 1)  # nobody holds the other end any more
    os.close(alive)
    return {"codes": codes, "stages": [STAGES[shared[1 + number]] for number in range(len(children))]}


def _start(role: Callable[[Child], None], child: Child) -> int:
    pid = os.fork()
    if pid == 0:
        _run(role, child)
    return pid


def _await_stage(shared: mmap.mmap, number: int, aim: str) -> None:
    end = time.monotonic() + 0.5
    while shared[1 + number] != STAGES.index(aim) and time.monotonic() < end:
        time.sleep(0.0001)


def _end(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Server:
    """Asks a forked server for rounds."""

    def __init__(self, folder: Path, mutation: str) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        if os.fork() == 0:
            os.close(self._requests)
            os.close(self._answers)
            with open(requests) as asked, open(answers, "w") as answered:
                serve(asked, answered, folder, mutation)
            os._exit(0)
        os.close(requests)
        os.close(answers)
        self._lines = open(self._answers)  # noqa: SIM115

    def ask(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Have one round run; raises Found where somebody did not end as he should."""
        os.write(self._requests, json.dumps(plan).encode() + b"\n")
        answer = json.loads(self._lines.readline())
        for number, (role, _) in enumerate(plan["children"]):
            if answer["codes"][number] != (-signal.SIGKILL if number in plan["victims"] else 0):
                raise Found(f"{role} ended with {answer['codes'][number]}: {_errors(plan)}")
        return answer


def _errors(plan: dict[str, Any]) -> str:
    lines = [line for _, said in plan["children"] for line in lines_of(Path(said))]
    return "\n".join(line["error"] for line in lines if "error" in line)


class Rounds:
    """The rounds on one store, and what must hold after each of them."""

    def __init__(self, folder: Path, seed: int, mutation: str) -> None:
        self.check = StoreCheck(folder / "store", LARGEST_BLOCK, LARGEST_LEASE)
        self._takers = [["take"], ["take"], ["take", "take"], ["family", "take"]]
        self.stages: collections.Counter[str] = collections.Counter()
        self._said = folder / "said"
        self._said.mkdir(parents=True)
        self._dice = random.Random(seed)
        self._server = Server(folder / "store", mutation)
        self._server.ask(self._plan_of(0, ["look"]))

    def one(self, number: int, *, kill: bool = True) -> None:
        """Run a round and check everything; raises Found."""
        plan = self._plan(number, kill)
        answer = self._server.ask(plan)
        for victim in plan["victims"]:
            self.stages[f"{plan['children'][victim][0]} {answer['stages'][victim]}"] += 1
        if self._dice.random() < 0.3:  # or else the check is who comes next
            self._server.ask(self._plan_of(number, ["look"]))
        lines = [line for path in sorted(self._said.glob(f"{number}-*")) for line in lines_of(path)]
        self.check.after(lines, _killed_takers(plan), drain=self._dice.random() < 0.1)

    def _plan(self, number: int, kill: bool) -> dict[str, Any]:
        """Draw who takes part, who is killed, in which stage, and how long after its beginning."""
        dice = self._dice
        roles = ["record", *dice.choice(self._takers)]
        takers = range(1, len(roles))
        first = dice.choice([0, dice.choice(takers)])
        others = dice.sample([*{0, *takers} - {first}], dice.randrange(len(roles)))
        victims = [first, *others]
        return self._plan_of(number, roles) | {
            "victims": victims if kill else [],
            "aim": dice.choice(AIMS[roles[first]]),
            "delay": dice.uniform(
                0, dice.choice((0.002, 0.01, 0.02) if first == 0 else (0.0002, 0.002, 0.02))
            ),
            "linger": dice.uniform(0, 0.01) if kill else 0.3,
        }

    def _plan_of(self, number: int, roles: list[str]) -> dict[str, Any]:
        children = [(role, str(self._said / f"{number}-{at}-{role}")) for at, role in enumerate(roles)]
        seed = self._dice.randrange(2**32)
        return {"children": children, "victims": [], "linger": 0.0, "seed": seed}


def _killed_takers(plan: dict[str, Any]) -> int:
    roles = [role for role, _ in plan["children"]]
    return sum(roles[victim] != "record" for victim in plan["victims"])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--mutation", choices=sorted(mutations.ALL), default="")
    asked = parser.parse_args()
    began = time.monotonic()
    rounds = Rounds(asked.folder, asked.seed, asked.mutation)
    number, found = 0, ""
    try:
        for number in range(1, asked.rounds + 1):
            rounds.one(number)
        rounds.one(asked.rounds + 1, kill=False)
        rounds.check.everything()
    except (Found, StoreError) as error:
        found = str(error)
    told = {
        "rounds": number, "seed": asked.seed, "found": found, "seconds": round(time.monotonic() - began, 1),
        "buffers": len(rounds.check.known.bits), "bits": rounds.check.known.total,
        "leases": rounds.check.leases,
        "stages": dict(sorted(rounds.stages.items())),
    }  # fmt: skip
    print(json.dumps(told))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
