"""The store that is fuzzed, and what must hold of it however it was damaged.

A complete buffer, one whose writer was killed, and a ledger whose last owner was killed too, so that its
write-ahead log is there; a few hundred kilobytes, kept in memory and put back before each case.
"""

import itertools
import os
import random
import shutil
import sys
import uuid
import warnings
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from children import in_a_child

from entropy import ACTION_DTYPE, CELL_DTYPE, TUNING_DTYPE, Store, StoreError
from entropy.buffer._opening import open_buffer
from entropy.buffer._reader import BufferReader
from entropy.testing import append_outcomes, start_recording

CELLS = 16
PULSES = (4, 40, 1, 0, 25, 130, 64, 3)


@dataclass
class Truth:
    """What was recorded and what was spent before anything was damaged."""

    files: dict[str, bytes]
    names: dict[str, str]  # file name by uuid
    bits: dict[str, np.ndarray]  # 0 and 1, by uuid
    blocks: dict[str, list[bytes]]  # packed bits of each block, by uuid
    spent: dict[str, np.ndarray]  # bool for each bit: consumed, burned or withheld


def make(folder: Path) -> Truth:
    """Make the store in a child process that dies without closing anything."""
    shutil.rmtree(folder, ignore_errors=True)
    assert in_a_child(lambda: _record(folder)) == 0, "the store could not be recorded"
    for path in folder.glob("*.h5"):  # without the room that its writer had reserved
        with open_buffer(path) as file:
            size = max(
                file[name].id.get_chunk_info(index).byte_offset + file[name].id.get_chunk_info(index).size
                for name in ("bits", "valid", "blocks", "actions")
                for index in range(file[name].id.get_num_chunks())
            )
        os.truncate(path, max(size, 300_000))
    files = contents(folder)
    truth = _look(folder, files)
    restore(folder, truth)
    return truth


def _record(folder: Path) -> None:
    _be_the_same_every_time()
    store = Store(folder)
    held = [recording(store) for _ in range(2)]
    rng = np.random.default_rng(5)
    for number, record in enumerate(held):
        for index, pulses in enumerate(PULSES):
            outcomes = rng.integers(0, 2, pulses * CELLS, dtype=np.uint8)
            usable = (rng.random(len(outcomes)) >= 0.1 * (index % 2)).astype(np.uint8)
            append_outcomes(record, outcomes, usable, changes(index), health=int(index == 6))
        if not number:
            record.close()
    for bits, part in ((300, 300), (500, 200), (64, 0)):
        with store.lease(bits, purpose="before") as lease:
            lease.read(part)
    store.lease(90, purpose="burned").burn()
    store.withhold(store.buffers()[0].uuid, 3000, 100, verdict="fuzz")
    dying = store.lease(70, purpose="dying")
    dying.read(20)
    store.accounts()


def _be_the_same_every_time() -> None:
    """Give uuids and times that do not change from one run to the next, as names of files are made of them."""
    dice, clock = random.Random(0), itertools.count()
    uuid.uuid4 = lambda: uuid.UUID(int=dice.getrandbits(128), version=4)
    ours = [module for name, module in sys.modules.items() if name.startswith("entropy.")]
    for module in (module for module in ours if "now" in vars(module)):
        module.now = lambda: f"2026-01-01T00:00:00.{next(clock):06}+00:00"


def recording(store: Store):
    return start_recording(
        store,
        np.zeros(CELLS, CELL_DTYPE),
        resistances=8,
        tuning=np.zeros(CELLS, TUNING_DTYPE),
        conditions={"target": 0.5},
        actions=True,
    )


def changes(cell: int) -> np.ndarray:
    made = np.zeros(1, ACTION_DTYPE)
    made["cell"], made["state"], made["voltage"] = cell, 1, 1e-3
    return made


def _look(folder: Path, files: dict[str, bytes]) -> Truth:
    with Store(folder, create=False) as store:
        truth = Truth(files, {}, {}, {}, {})
        for info, record in zip(store.buffers(), store._ledger.buffers(), strict=True):
            blocks = [store.read_block(info.uuid, index)[0] for index in range(info.blocks)]
            bits = store.rows(info.uuid)["bits"].tolist()
            pairs = zip(blocks, bits, strict=True)
            truth.names[info.uuid] = info.path.name
            truth.bits[info.uuid] = np.concatenate([np.unpackbits(data, count=n) for data, n in pairs])
            truth.blocks[info.uuid] = [data.tobytes() for data in blocks]
            spent = np.ones(info.bits, bool)
            for first, count, state in store._ledger.ranges(record.id):
                spent[first : first + count] = state != "free"
            truth.spent[info.uuid] = spent
        assert store.verify().ok
        assert [info.complete for info in store.buffers()] == [True, False]
    return truth


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def restore(folder: Path, truth: Truth) -> None:
    """Put everything back as it was."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "locks").mkdir(parents=True)
    for name, data in truth.files.items():
        (folder / name).write_bytes(data)


class Wrong(Exception):
    """Something that must never happen."""


def observe(folder: Path, truth: Truth, *, forged: bool, reopened: bool) -> str:
    """Use the damaged store in every way; raises Wrong where it is neither right nor a clear sentence.

    `forged`: a file was rewritten to say something else with every check right, so that by itself it may be
    taken at its word, though not by the ledger; `reopened`: the ledger was rewritten, so that it may say of
    spent bits that they are free.
    """
    said = []
    for path in changed(folder, truth):
        said.append(_sentence(folder, lambda path=path: _read_buffer(path, truth, forged)))
    said.append(_sentence(folder, lambda: _use_store(folder, truth, reopened)))
    return " | ".join(said)


def changed(folder: Path, truth: Truth) -> list[Path]:
    """List the buffers that are not as they were made."""
    paths = sorted(folder.glob("*.h5"))
    return [
        path for path in paths if not path.is_file() or path.stat().st_size > 1 << 24
        or path.read_bytes() != truth.files.get(path.name)
    ]  # fmt: skip


def _sentence(folder: Path, use) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return use()
    except StoreError as error:
        text = str(error)
        named = str(folder) in text or "bits were wanted" in text or "lease " in text
        if not named or not (";" in text or ":" in text):
            raise Wrong(f"a sentence without a file or a remedy: {text}") from error
        return text


def _read_buffer(path: Path, truth: Truth, forged: bool) -> str:
    with closing(BufferReader(path)) as reader:
        known = truth.blocks.get(reader.text("buffer"))
        for index in range(len(reader.rows)):
            _sentence(path.parent, lambda index=index: _read_block(reader, index, known, forged))
        if reader.complete:  # each of these opens the file anew
            _sentence(path.parent, lambda: f"{reader.cells().shape} {reader.resistances().shape}")
            _sentence(path.parent, lambda: f"{reader.tuning()} {reader.actions()}")
        reader.refresh()
        return f"{len(reader.rows)} rows"


def _read_block(reader: BufferReader, index: int, known: list[bytes] | None, forged: bool) -> str:
    block = reader.load(index, "x")
    if known is not None and not forged and (index >= len(known) or block.data.tobytes() != known[index]):
        raise Wrong(f"block {index} of {reader.path.name} is not what was recorded")
    if block.bits:
        block.positions_of(0, block.bits)
        block.position(block.bits - 1)
    return ""


def _use_store(folder: Path, truth: Truth, reopened: bool) -> str:
    with Store(folder, create=False) as store:
        said = [
            _sentence(folder, lambda: str(store.accounts())),
            _sentence(folder, lambda: str([(info.uuid, info.bits) for info in store.buffers()])),
        ]
        seen = {uuid: np.zeros(len(bits), bool) for uuid, bits in truth.bits.items()}
        for bits in (128, 1000, 7):
            said.append(_sentence(folder, lambda bits=bits: _lease(store, bits, truth, seen)))
        if not reopened:
            for uuid, twice in seen.items():
                if (twice & truth.spent[uuid]).any():
                    raise Wrong(f"spent bits of {truth.names[uuid]} were handed out again")
        said.append(_sentence(folder, lambda: _verify(store, folder, truth)))
        return " / ".join(said)


def _lease(store: Store, bits: int, truth: Truth, seen: dict[str, np.ndarray]) -> str:
    with store.lease(bits, purpose="fuzz") as lease:
        read = np.unpackbits(lease.read(bits), count=bits)
        at = 0
        for buffer, first, count in lease.ranges:
            if buffer not in truth.bits:
                raise Wrong(f"bits of an unknown buffer {buffer!r} were handed out")
            known = truth.bits[buffer]
            if first < 0 or first + count > len(known):
                raise Wrong(f"bits {first} to {first + count - 1} of {buffer} were never recorded")
            if not np.array_equal(read[at : at + count], known[first : first + count]):
                raise Wrong("other bits than were recorded were handed out")
            if seen[buffer][first : first + count].any():
                raise Wrong("the same bits were handed out twice")
            seen[buffer][first : first + count] = True
            at += count
    return "read"


def _verify(store: Store, folder: Path, truth: Truth) -> str:
    steps: list[int] = []
    report = store.verify(lambda done, total: steps.append(done))
    if steps != sorted(steps):
        raise Wrong(f"the progress went back: {steps}")
    for problem in report.problems:
        if str(folder) not in problem:
            raise Wrong(f"a problem without a file: {problem}")
    if report.ok:
        for path in changed(folder, truth):
            _found_right(path, truth)
    return f"{len(report.problems)} problems"


def _found_right(path: Path, truth: Truth) -> None:
    uuid = next((uuid for uuid, name in truth.names.items() if name == path.name), "")
    known = truth.blocks[uuid]
    with closing(BufferReader(path, uuid)) as reader:
        if [reader.load(index).data.tobytes() for index in range(len(reader.rows))] != known:
            raise Wrong(f"verify found nothing wrong with {path.name}, and its bits are others")
