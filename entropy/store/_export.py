"""Moving bits out of a store: to a file, or to another store. They are free there and burned here."""

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import NotEnoughBits, StoreError
from ..arguments import Count, Each, takes
from ..buffer._block_facts import BlockFacts
from ..buffer._durable import sync_folder
from ..buffer._format import BIT_ORDER
from ..buffer._recording import Recording
from ..buffer._recording_plan import RecordingPlan
from ..ledger import now
from ._lease import Lease
from ._store import Store

EXPORT_FORMS = ("packed", "bytes", "npy")
_STEP = 1 << 23  # bits
_HEADER = 128  # bytes of an .npy file before its data, at most, for what we write

Progress = Callable[[int, int], None] | None


@takes(bits=Count(1))
def export_bits(
    store: Store,
    target: str | os.PathLike[str],
    *,
    bits: int | None = None,
    blocks: tuple[str, int, int] | None = None,
    form: str = "packed",
    progress: Progress = None,
) -> dict[str, Any]:
    """Write bits to a new file, and a description beside it (`.json`); they are burned here.

    Either `bits`, how many, or `blocks`: (buffer, first, last), all of whose bits must be free. `form`: "packed"
    (8 bits a byte, the first one most significant), "bytes" (one byte a bit, 0 or 1) or "npy" (the same as a numpy
    file, uint8, shape (bits,)). Returns the description: form, bits, sha256 of the file, store, ranges, and whether
    the bits are simulated. The file has its name only when it is whole and on the disk. Raises StoreError where the
    file exists or cannot be written, NotEnoughBits; an export that was interrupted burns its bits.
    """
    path = Path(target).absolute()
    check_export(store, target, bits=bits, blocks=blocks, form=form)
    purpose = f"exported to {path}"
    if blocks is not None:
        lease = store.lease_blocks(*blocks, purpose=purpose)
    else:
        assert bits is not None
        lease = store.lease(bits, purpose=purpose)
    with _burned(lease):
        return _export(store, lease, path, form, progress)


@takes(bits=Count(1))
def check_export(
    store: Store,
    target: str | os.PathLike[str],
    *,
    bits: int | None = None,
    blocks: tuple[str, int, int] | None = None,
    form: str = "packed",
) -> int:
    """Count the bits that `export_bits` would write, and burn; raises as that does, before anything is changed."""
    path = Path(target).absolute()
    if form not in EXPORT_FORMS:
        raise ValueError(f"{form!r} is none of {', '.join(EXPORT_FORMS)}")
    if (bits is None) == (blocks is None):
        raise ValueError("give either a number of bits or blocks")
    _refuse_existing(path)
    if blocks is not None:
        bits = store.free_in_blocks(*blocks)
    assert bits is not None
    promised = sum(request.outstanding for request in store.requests())
    free = max(store.accounts().free - promised, 0)
    if bits > free:
        others = f" beside {promised:,} promised to others" if promised else ""
        raise NotEnoughBits(bits, free, f"free in the store{others}")
    _refuse_too_large(path.parent, -(-bits // 8) if form == "packed" else bits + _HEADER)
    return bits


@contextlib.contextmanager
def _burned(lease: Lease) -> Iterator[None]:
    """Burn a lease at the end, or give it back where nothing was read of it."""
    try:
        yield
    finally:
        if lease.remaining == lease.bits:
            lease.close()
        else:
            lease.burn()


def _export(store: Store, lease: Lease, path: Path, form: str, progress: Progress) -> dict[str, Any]:
    buffers = {info.uuid: info for info in store.buffers()}
    description: dict[str, Any] = {
        "form": form,
        "bits": lease.bits,
        "bit_order": BIT_ORDER,
        "store": store.uuid,
        "ranges": [list(item) for item in lease.ranges],
        "simulated": any(buffers[item.buffer].simulated for item in lease.ranges),
        "exported": now(),
    }
    partial = _partial(path)
    try:
        description["sha256"] = _write(lease, partial, form, progress)
        _write_text(_beside(path), json.dumps(description, indent=1) + "\n")
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}): the bits that were read for it are burned"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return description


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _refuse_existing(path: Path) -> None:
    for item in (path, _beside(path)):
        if item.exists():
            raise StoreError(f"{item} exists already: name a new file, bits are never written over")
    if _partial(path).exists():
        raise StoreError(
            f"{_partial(path)} was left by an export that did not end, whose bits are burned: delete it, or name "
            "a new file"
        )
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} is no folder: make it first")
    if not os.access(path.parent, os.W_OK):
        raise StoreError(f"{path.parent} cannot be written: name another folder")


def _refuse_too_large(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise StoreError(f"{folder} has {free:,} bytes free and {size:,} are needed: nothing was exported")


def _write(lease: Lease, partial: Path, form: str, progress: Progress) -> str:
    digest = hashlib.sha256()
    total = lease.bits
    with open(partial, "xb") as file:

        def put(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        if form == "npy":
            put(_npy_header(total))
        while lease.remaining:
            bits = min(_STEP, lease.remaining)
            packed = lease.read(bits)
            put((packed if form == "packed" else np.unpackbits(packed, count=bits)).tobytes())
            if progress is not None:
                progress(total - lease.remaining, total)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _npy_header(bits: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (bits,)})
    return header.getvalue()


def _write_text(path: Path, text: str) -> None:
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@takes(blocks=Each(Count()))
def move_blocks(
    store: Store, buffer: str, blocks: tuple[int, int], into: Store, *, progress: Progress = None
) -> str:
    """Move the blocks `blocks` (first, last) of a buffer into another store, as a recording of its own there.

    All of their bits must be free; they are free there and burned here, masks and rows go along. Returns the uuid of
    the new recording. An interruption burns here what may have arrived there.
    """
    if into.uuid == store.uuid:
        raise StoreError(f"{into.path} is the same store: bits are moved to another one")
    first, last = blocks
    info = next(item for item in store.buffers() if item.uuid == buffer)
    lease = store.lease_blocks(buffer, first, last, purpose=f"moved to {into.path}")
    cells, rows = store.cells(buffer), store.rows(buffer)
    tuning, conditions = store.tuning(buffer) or (None, None)
    changed = store.actions(buffer)
    changed["block"] = np.maximum(
        changed["block"], first
    )  # what was changed before counts from the first one on
    origin = {"store": store.uuid, "buffer": buffer, "blocks": [first, last]}
    with (
        _burned(lease),
        into.record(
            RecordingPlan(
                cells=cells,
                bench=store.bench(buffer),
                procedure={**store.procedure(buffer), "moved_from": origin},
                simulated=info.simulated,
                device=store.device(buffer),
                expected_bits=lease.bits,
                tuning=tuning,
                conditions=conditions,
                actions=len(changed) > 0,
            )
        ) as recording,
    ):
        for index in range(first, last + 1):
            actions = changed[changed["block"] == index]
            _move_block(store, buffer, index, rows[index], lease, recording, actions)
            if progress is not None:
                progress(lease.bits - lease.remaining, lease.bits)
    return recording.uuid


def _move_block(
    store: Store,
    buffer: str,
    index: int,
    row: np.void,
    lease: Lease,
    recording: Recording,
    actions: np.ndarray,
) -> None:
    bits = int(row["bits"])
    data = lease.read(bits) if bits else np.empty(0, np.uint8)
    _, valid = store.read_block(buffer, index)
    facts = replace(BlockFacts.of(row), health=0)  # its bits were free, whatever the tests had said
    recording.append(data, bits, facts, valid=valid, actions=actions)
