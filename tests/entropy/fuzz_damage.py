"""Every kind of damage: functions of (folder, truth, dice) that change files; each is named for what it does."""

import contextlib
import functools
import itertools
import random
import re
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from fuzz_store import Truth

from entropy import BLOCK_DTYPE, CELL_DTYPE
from entropy.buffer._opening import open_buffer
from entropy.buffer._view import checksum

Damage = Callable[[Path, Truth, random.Random], object]

# Of these kinds a file was rewritten to say something else, with every check right.
FORGED: set[str] = set()
# Of these the ledger itself was rewritten (or its log lost), so that it may say of a spent bit that it is free.
REOPENED: set[str] = set()

KINDS: dict[str, Damage] = {}


def kind(*, forged: bool = False, reopened: bool = False):
    def enter(function: Damage) -> Damage:
        name = function.__name__
        KINDS[name] = function
        for chosen, names in ((forged, FORGED), (reopened, REOPENED)):
            if chosen:
                names.add(name)
        return function

    return enter


def a_buffer(folder: Path, dice: random.Random) -> Path:
    return dice.choice(sorted(folder.glob("*.h5")))


# --- bytes of a buffer


def flip(path: Path, dice: random.Random, low: int = 0, high: int | None = None, count: int = 1) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[dice.randrange(low, high or len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


@kind()
def cut_short(folder, truth, dice):
    path = a_buffer(folder, dice)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(
            dice.choice([dice.randrange(size), dice.randrange(2000), size - dice.randrange(1, 6000), 0])
        )


@kind()
def grown(folder, truth, dice):
    path = a_buffer(folder, dice)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size + dice.choice([1, 4096, 1 << 24, 1 << 40]))


@kind()
def bit_flipped_anywhere(folder, truth, dice):
    flip(a_buffer(folder, dice), dice, count=dice.choice([1, 1, 1, 2, 10, 1000]))


@kind()
def bit_flipped_in_metadata(folder, truth, dice):
    flip(a_buffer(folder, dice), dice, 0, 18000, dice.choice([1, 1, 2, 5]))


@kind()
def superblock_flipped(folder, truth, dice):
    flip(a_buffer(folder, dice), dice, 0, 48)


@kind()
def bits_flipped(folder, truth, dice):
    path = a_buffer(folder, dice)
    at = place(path, "bits")
    flip(path, dice, at, at + sum(map(len, block_bytes(path, truth))), dice.choice([1, 1, 3]))


@kind()
def mask_flipped(folder, truth, dice):
    path = a_buffer(folder, dice)
    at = place(path, "valid")
    flip(path, dice, at, at + 100)


@kind()
def row_flipped(folder, truth, dice):
    path = a_buffer(folder, dice)
    at = place(path, "blocks")
    flip(path, dice, at, at + 8 * BLOCK_DTYPE.itemsize)


@kind()
def stretch_overwritten(folder, truth, dice):
    path = a_buffer(folder, dice)
    data = bytearray(path.read_bytes())
    size = dice.choice([1, 4, 8, 100, 5000, 100_000])
    at = dice.randrange(dice.choice([20000, len(data)]))
    stretch = data[at : at + size]
    other = dice.randrange(len(data) - len(stretch) + 1)
    data[at : at + len(stretch)] = dice.choice(
        [
            bytes(len(stretch)),
            b"\xff" * len(stretch),
            dice.randbytes(len(stretch)),
            data[other : other + len(stretch)],
        ]
    )
    path.write_bytes(data)


@kind()
def swapped_stretches(folder, truth, dice):
    path = a_buffer(folder, dice)
    data = bytearray(path.read_bytes())
    size = dice.choice([8, 48, 144, 512])
    a, b = dice.randrange(0, 18000), dice.randrange(0, len(data) - size)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    path.write_bytes(data)


@kind()
def garbage(folder, truth, dice):
    head = dice.choice(
        [
            b"",
            b"\x89HDF\r\n\x1a\n",
            b"\x89HDF\r\n\x1a\n\x03\x08\x08",
            truth.files[a_buffer(folder, dice).name][:48],
        ]
    )
    a_buffer(folder, dice).write_bytes(head + dice.randbytes(dice.choice([0, 10, 1000, 50000])))


@kind()
def gone(folder, truth, dice):
    path = a_buffer(folder, dice)
    path.unlink()
    if dice.random() < 0.3:
        path.mkdir()


@kind()
def marked_open_and_flipped(folder, truth, dice):
    """As a killed writer leaves it, where HDF5's own following would wait for ever."""
    path = a_buffer(folder, dice)
    flip(path, dice, 48, 18000)
    data = bytearray(path.read_bytes())
    data[11] = dice.choice([1, 4, 5, 255])
    data[44:48] = struct.pack("<I", checksum(bytes(data[:44])))
    path.write_bytes(data)


def block_bytes(path: Path, truth: Truth) -> list[bytes]:
    return next(truth.blocks[uuid] for uuid, name in truth.names.items() if name == path.name)


def place(path: Path, name: str) -> int:
    with open_buffer(path) as file:
        return file[name].id.get_chunk_info(0).byte_offset


# --- metadata that is wrong with its checksum right: what no accident makes


# Bytes before the checksum; a leaf has as many records as there are attributes.
GUARDED = {
    b"EAHD": (68,),
    b"EAIB": (294,),
    b"FRHP": (142,),
    b"BTHD": (34,),
    b"BTLF": range(23, 516, 17),
    b"OHDR": (),
}


@functools.cache
def checked_parts(data: bytes) -> list[tuple[int, int]]:
    """Find the (begin, end) of what HDF5 guards by a checksum that follows it."""
    found = [(0, 44)]
    for signature, sizes in GUARDED.items():
        for match in re.finditer(signature, data):
            at = match.start()
            if signature == b"OHDR":  # it says its size after the times, if it has any
                size = at + 6 + (16 if data[at + 5] & 0x20 else 0)
                sizes = (size + 2 - at + int.from_bytes(data[size : size + 2], "little"),)
            right = (
                at + n
                for n in sizes
                if data[at + n : at + n + 4] == struct.pack("<I", checksum(data[at : at + n]))
            )
            found += [(at, end) for end in itertools.islice(right, 1)]
    return found


@kind(forged=True)
def metadata_changed_and_checksum_right(folder, truth, dice):
    path = a_buffer(folder, dice)
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 1, 2])):
        begin, end = dice.choice(checked_parts(truth.files[path.name]))
        at = dice.randrange(begin + 4, end)
        change = dice.randrange(4)
        if change == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif change == 1:
            data[at] = dice.choice([0, 1, 2, 127, 128, 255])
        elif change == 2:
            data[at : min(end, at + 8)] = dice.randbytes(min(end, at + 8) - at)
        else:
            value = dice.choice([0, 1, 1 << 16, 1 << 32, (1 << 63) - 1, (1 << 64) - 1, 48, len(data)])
            data[at : min(end, at + 8)] = struct.pack("<Q", value)[: min(end, at + 8) - at]
        data[end : end + 4] = struct.pack("<I", checksum(bytes(data[begin:end])))
    path.write_bytes(data)


@kind(forged=True)
def attributes_changed_and_checksum_right(folder, truth, dice):
    """The block of the heap that holds the attributes; its checksum is that of the block with none in it."""
    path = a_buffer(folder, dice)
    data = bytearray(path.read_bytes())
    heap = data.find(b"FRHP")
    (size,) = struct.unpack_from("<Q", data, heap + 46)
    (begin,) = struct.unpack_from("<Q", data, heap + 132)
    for _ in range(dice.choice([1, 1, 2, 4])):
        at = begin + dice.randrange(22, 700)
        data[at] = dice.choice([data[at] ^ 1 << dice.randrange(8), 0, 1, 3, 9, 255])
    data[begin + 18 : begin + 22] = bytes(4)
    data[begin + 18 : begin + 22] = struct.pack("<I", checksum(bytes(data[begin : begin + size])))
    path.write_bytes(data)


# --- structures that h5py makes


@contextlib.contextmanager
def changing(path: Path):
    with h5py.File(path, "r+", libver=("v110", "v110"), locking=False) as file:
        yield file


def the_complete_one(folder: Path) -> Path:
    """Find the buffer that h5py may change; it refuses the one whose writer was killed."""
    return next(path for path in sorted(folder.glob("*.h5")) if not path.read_bytes()[11])


DATASETS = ("bits", "valid", "blocks", "cells", "resistances", "tuning", "actions")


@kind()
def dataset_replaced(folder, truth, dice):
    path = the_complete_one(folder)
    name = dice.choice(DATASETS)
    with changing(path) as file:
        keep = file[name][:]
        del file[name]
        dice.choice(REPLACEMENTS)(file, name, keep, dice)


def _soft(file, name, keep, dice):
    file[name] = h5py.SoftLink(dice.choice(["/cells", "/nowhere", "/" + name]))


def _external(file, name, keep, dice):
    file[name] = h5py.ExternalLink(dice.choice(["other.h5", "/etc/passwd", file.filename]), "/bits")


def _filtered(file, name, keep, dice):
    options = dice.choice(
        [{"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}, {"compression": "lzf"}]
    )
    file.create_dataset(name, data=keep, chunks=(max(1, len(keep)),), maxshape=(None,), **options)


def _outside(file, name, keep, dice):
    file.create_dataset(name, (100,), np.uint8, external=[(dice.choice(["/etc/passwd", "raw"]), 0, 100)])


def _virtual(file, name, keep, dice):
    layout = h5py.VirtualLayout((100,), keep.dtype, maxshape=(None,))
    layout[:] = h5py.VirtualSource(dice.choice(["other.h5", "."]), "bits", (100,))
    file.create_virtual_dataset(name, layout)


def _other_type(file, name, keep, dice):
    kinds = [
        h5py.string_dtype(), h5py.ref_dtype, h5py.regionref_dtype, np.dtype("S8"), np.dtype(">u2"), np.dtype("f8"),
        h5py.enum_dtype({"A": 1}, np.uint8), np.dtype(bool), np.dtype([("a", "u1")]), h5py.vlen_dtype(np.uint8),
        h5py.opaque_dtype(np.dtype("M8[s]")), np.dtype("i1"), np.dtype(("u1", (4,))), np.dtype("V7"),
    ]  # fmt: skip
    file.create_dataset(
        name, (dice.choice([0, 3, 100]),), dice.choice(kinds), chunks=(1024,), maxshape=(None,)
    )


def _committed_type(file, name, keep, dice):
    file["kind"] = keep.dtype
    file.create_dataset(name, data=keep, dtype=file["kind"], chunks=(4096,), maxshape=(None,))


def _other_shape(file, name, keep, dice):
    shape = dice.choice([(), (3, 4), (1, 1, 1), None])
    if shape is None:
        file.create_dataset(name, data=h5py.Empty(keep.dtype))
    else:
        file.create_dataset(name, shape, keep.dtype)


def _huge(file, name, keep, dice):
    size = 1 << dice.randrange(18, 60)
    file.create_dataset(
        name,
        (size,),
        keep.dtype,
        chunks=(dice.choice([1 << 10, 1 << 16, 1 << 22]),),
        maxshape=(None,),
        fill_time="never",
    )


def _huge_contiguous(file, name, keep, dice):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    space = h5py.h5s.create_simple((1 << dice.randrange(10, 55),))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(keep.dtype, logical=True), space, settings)


def _compact(file, name, keep, dice):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((min(len(keep), 50),))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(keep.dtype, logical=True), space, settings)


def _odd_chunks(file, name, keep, dice):
    chunk = 1 << dice.randrange(32)
    file.create_dataset(name, (dice.choice([0, len(keep)]),), keep.dtype, chunks=(chunk,), maxshape=(None,))


def _a_group(file, name, keep, dice):
    file.create_group(name)["bits"] = np.arange(3)


def _a_type(file, name, keep, dice):
    file[name] = keep.dtype


def _hard_link(file, name, keep, dice):
    file[name] = file[dice.choice([other for other in DATASETS if other != name])]


def _absent(file, name, keep, dice):
    pass


def _with_a_hole(file, name, keep, dice):
    """All but one chunk are there, and that one lies in the middle of the data."""
    chunk = max(1, 1024 // keep.dtype.itemsize + 1)
    made = file.create_dataset(
        name, (len(keep),), keep.dtype, chunks=(chunk,), maxshape=(None,), fill_time="never"
    )
    hole = dice.randrange(0, max(1, len(keep)), chunk)
    for at in range(0, len(keep), chunk):
        if at != hole:
            made[at : at + chunk] = keep[at : at + chunk]


REPLACEMENTS = [
    _soft, _external, _filtered, _outside, _virtual, _other_type, _committed_type, _other_shape, _huge,
    _huge_contiguous, _compact, _odd_chunks, _a_group, _a_type, _hard_link, _absent, _with_a_hole,
]  # fmt: skip


@kind()
def resized(folder, truth, dice):
    name = dice.choice(["bits", "valid", "blocks", "resistances", "actions"])
    with changing(the_complete_one(folder)) as file:
        file[name].resize((dice.choice([0, 1, 7, 8, 9, 100, 1 << 12, 1 << 30, 1 << 45, 1 << 60]),))


ATTRIBUTES = (
    "format", "format_version", "buffer", "recording", "segment", "created", "complete", "simulated",
    "cells_per_pulse", "conditioning", "bit_order", "bench", "procedure", "device", "software", "tuning",
)  # fmt: skip


@kind()
def attribute_replaced(folder, truth, dice):
    values = (
        "variable", 7, -1, 2**63, 2.5, float("nan"), b"fixed", b"", np.arange(5), np.zeros((40, 40)), b"x" * 60000,
        np.bytes_("é".encode("latin-1")), np.array([b"ab", b"c"]), np.zeros(1, CELL_DTYPE), h5py.Empty("S4"),
        np.uint8(1), np.float64(1), np.bool_(True), ["a", "b"], np.bytes_("none"), np.uint32(16), np.void(b"abc"),
    )  # fmt: skip
    with changing(the_complete_one(folder)) as file:
        name = dice.choice(ATTRIBUTES)
        if dice.random() < 0.15:
            file.attrs[name] = file["cells"].ref
        elif dice.random() < 0.2:
            del file.attrs[name]
        else:
            file.attrs[name] = dice.choice(values)


@kind()
def something_added(folder, truth, dice):
    """What later programs may add: it changes nothing."""
    with changing(the_complete_one(folder)) as file:
        dice.choice([
            lambda: file.attrs.create("salvaged", np.bytes_("2026-01-01T00:00:00+00:00")),
            lambda: file.attrs.create("more", np.zeros((10, 10))),
            lambda: file["bits"].attrs.create("more", "text"),
            lambda: file.create_dataset("later", data=np.arange(1000), compression="gzip"),
            lambda: file.create_group("more/and/more"),
            lambda: file.create_dataset("words", data=["a", "b"], dtype=h5py.string_dtype()),
        ])()  # fmt: skip


@kind()
def link_added(folder, truth, dice):
    with changing(the_complete_one(folder)) as file:
        file["more"] = dice.choice([h5py.SoftLink("/bits"), h5py.ExternalLink("other.h5", "/")])


@kind()
def copied_to_an_old_format(folder, truth, dice):
    path = the_complete_one(folder)
    options = dice.choice(
        [{"libver": "earliest"}, {"userblock_size": 512}, {"libver": "v108"}, {"fs_strategy": "page"}]
    )
    with h5py.File(path, "r") as old, h5py.File(folder / "new", "w", **options) as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
    (folder / "new").rename(path)


@kind(forged=True)
def cells_changed(folder, truth, dice):
    with changing(the_complete_one(folder)) as file:
        number = dice.choice([0, 1, 2, 3, 8, 15, 17, 32, 1 << 20, (1 << 32) - 1])
        if dice.random() < 0.5:
            file.attrs["cells_per_pulse"] = np.uint32(number)
        if dice.random() < 0.7:
            del file["cells"]
            file["cells"] = np.zeros(min(number, 1 << 16), CELL_DTYPE)


def rewritten(rows: np.ndarray) -> np.ndarray:
    for row in rows.reshape(-1, 1):
        row["row_crc"] = zlib.crc32(row.tobytes()[:140])
    return rows


@kind(forged=True)
def rows_forged(folder, truth, dice):
    """Wrong numbers in rows whose own check is right."""
    numbers = [0, 1, 2, 7, 8, 9, 63, 64, 100, 1 << 20, 1 << 32, 1 << 45, (1 << 61) + 5, (1 << 63) - 1]
    with changing(the_complete_one(folder)) as file:
        rows = file["blocks"][:]
        for _ in range(dice.choice([1, 1, 2, 4])):
            name = dice.choice(
                ["first_byte", "bits", "ones", "positions", "valid_offset", "crc", "valid_crc", "pulses"]
            )
            value = dice.choice(numbers)
            if dice.random() < 0.5:
                value = max(0, int(rows[name][dice.randrange(len(rows))]) + dice.choice([0, 1, -1, 8, 16]))
            limit = np.iinfo(BLOCK_DTYPE[name]).max
            rows[name][dice.randrange(len(rows))] = min(value, limit)
        file["blocks"][:] = rewritten(rows)


@kind(forged=True)
def rows_added_or_moved(folder, truth, dice):
    with changing(the_complete_one(folder)) as file:
        rows = file["blocks"][:]
        change = dice.randrange(4)
        if change == 0:
            rows = np.concatenate([rows, rows[[dice.randrange(len(rows))]]])
        elif change == 1:
            dice.shuffle(order := list(range(len(rows))))
            rows = rows[order]
        elif change == 2:
            rows = rows[: dice.randrange(len(rows))]
        else:
            rows = np.repeat(rows, 3)
        file["blocks"].resize((len(rows),))
        file["blocks"][:] = rewritten(rows)


@kind(forged=True)
def content_forged(folder, truth, dice):
    """Other bits with the CRC that belongs to them: only the ledger's copy of the CRC can tell."""
    with changing(the_complete_one(folder)) as file:
        rows = file["blocks"][:]
        index = dice.randrange(len(rows))
        size = -(-int(rows["bits"][index]) // 8)
        first = int(rows["first_byte"][index])
        if not size:
            return
        data = file["bits"][first : first + size]
        data[dice.randrange(size)] ^= 1 << dice.randrange(8)
        file["bits"][first : first + size] = data
        rows["crc"][index] = zlib.crc32(data)
        file["blocks"][:] = rewritten(rows)


@kind()
def files_exchanged(folder, truth, dice):
    first, second = sorted(folder.glob("*.h5"))
    if dice.random() < 0.5:
        first.rename(folder / "x")
        second.rename(first)
        (folder / "x").rename(second)
    else:
        shutil.copy(first, second)


# --- the ledger's bytes


def ledger(folder: Path) -> Path:
    return folder / "ledger.sqlite"


@kind(reopened=True)
def ledger_flipped(folder, truth, dice):
    flip(ledger(folder), dice, count=dice.choice([1, 1, 1, 2, 8, 100]))


@kind(reopened=True)
def ledger_log_damaged(folder, truth, dice):
    path = folder / "ledger.sqlite-wal"
    if not path.exists() or not path.stat().st_size:
        return
    how = dice.randrange(4)
    if how == 0:
        flip(path, dice, count=dice.choice([1, 3, 50]))
    elif how == 1:
        flip(path, dice, 0, 60)
    elif how == 2:
        with open(path, "r+b") as file:
            file.truncate(dice.randrange(path.stat().st_size))
    else:
        path.unlink()


@kind(reopened=True)
def ledger_overwritten(folder, truth, dice):
    path = ledger(folder)
    data = bytearray(path.read_bytes())
    size = dice.choice([1, 4, 16, 100, 4096])
    at = dice.randrange(len(data))
    size = min(size, len(data) - at)
    data[at : at + size] = dice.choice([bytes(size), b"\xff" * size, dice.randbytes(size)])
    path.write_bytes(data)


@kind(reopened=True)
def ledger_cut_short(folder, truth, dice):
    path = ledger(folder)
    with open(path, "r+b") as file:
        file.truncate(dice.choice([0, 1, 99, dice.randrange(path.stat().st_size), 4096 * dice.randrange(6)]))
    if dice.random() < 0.5:
        (folder / "ledger.sqlite-wal").unlink(missing_ok=True)


# --- the ledger by SQL


@contextlib.contextmanager
def sql(folder: Path):
    db = sqlite3.connect(ledger(folder), isolation_level=None)
    try:
        yield db
    finally:
        db.close()


TABLES = {
    "meta": ("key", "value"),
    "buffers": (
        "id", "uuid", "file", "recording", "segment", "created", "simulated", "conditioning", "blocks", "bits", "ones",
        "bytes", "ended", "complete",
    ),
    "blocks": ("buffer", "idx", "first_bit", "bits", "first_byte", "ones", "crc", "health"),
    "ranges": ("buffer", "first", "bits", "state", "lease"),
    "leases": ("id", "uuid", "purpose", "bits", "withheld", "taken", "settled", "outcome"),
    "verdicts": ("id", "time", "buffer", "first", "bits", "verdict"),
    "assessments": ("id", "time", "buffer", "min_entropy", "bits", "basis"),
}  # fmt: skip

VALUES = (
    None, -1, 0, 1, 2, 7, 8, 99, 1 << 31, (1 << 62) + 3, -(1 << 63), (1 << 63) - 1, 0.5, float("inf"), "", "x", "free",
    "consumed", "leased", "FREE", "1e3", "../x", "ledger.sqlite", "a\0b", b"", b"\x00\xff", "é" * 300,
)  # fmt: skip


def loosen(db: sqlite3.Connection, table: str) -> None:
    """Make a table take any value, twice as well."""
    db.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
    db.execute(f"DROP TABLE {table}")
    db.execute(f"ALTER TABLE loose RENAME TO {table}")


@kind(reopened=True)
def ledger_value_changed(folder, truth, dice):
    with sql(folder) as db:
        table = dice.choice(list(TABLES))
        if dice.random() < 0.5:
            loosen(db, table)
        for _ in range(dice.choice([1, 1, 2, 5])):
            column = dice.choice(TABLES[table])
            where = dice.choice(["", f"WHERE abs(random()) % {dice.randrange(1, 5)} = 0"])
            with contextlib.suppress(sqlite3.Error):
                db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? {where}", (dice.choice(VALUES),))


@kind(reopened=True)
def ledger_numbers_moved(folder, truth, dice):
    """Numbers a little off: overlapping ranges, ranges beyond the buffer, sums that do not hold."""
    columns = [
        ("ranges", "first"), ("ranges", "bits"), ("blocks", "bits"), ("blocks", "first_bit"), ("blocks", "idx"),
        ("blocks", "crc"), ("blocks", "first_byte"), ("buffers", "bits"), ("buffers", "blocks"), ("buffers", "bytes"),
        ("ranges", "buffer"), ("blocks", "buffer"), ("buffers", "id"), ("leases", "bits"), ("ranges", "lease"),
    ]  # fmt: skip
    with sql(folder) as db:
        for _ in range(dice.choice([1, 2])):
            table, column = dice.choice(columns)
            by = dice.choice([-1000, -8, -1, 1, 3, 8, 100, 5000, 1 << 40])
            keys = db.execute(f"SELECT {column} FROM {table} ORDER BY random() LIMIT 1").fetchall()
            with contextlib.suppress(sqlite3.Error):
                db.execute(
                    f"UPDATE {table} SET {column} = {column} + ? WHERE {column} IS ?",
                    (by, *(keys[0] or (0,))),
                )


@kind(reopened=True)
def ledger_rows_gone_or_doubled(folder, truth, dice):
    with sql(folder) as db:
        table = dice.choice(list(TABLES))
        if dice.random() < 0.5:
            db.execute(f"DELETE FROM {table} WHERE abs(random()) % 2")
        else:
            loosen(db, table)
            db.execute(f"INSERT INTO {table} SELECT * FROM {table}")


@kind(reopened=True)
def ledger_tables_changed(folder, truth, dice):
    table = dice.choice(list(TABLES))
    column = dice.choice(TABLES[table])
    with sql(folder) as db, contextlib.suppress(sqlite3.Error):
        for statement in dice.choice(
            (
                (f"DROP TABLE {table}",),
                (f"ALTER TABLE {table} RENAME TO other",),
                (f"ALTER TABLE {table} RENAME COLUMN {column} TO other",),
                (f"ALTER TABLE {table} ADD COLUMN more TEXT",),
                (f"ALTER TABLE {table} RENAME TO other", f"CREATE VIEW {table} AS SELECT * FROM other"),
                (f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END",),
                (f"CREATE TRIGGER t BEFORE UPDATE ON {table} BEGIN SELECT RAISE(IGNORE); END",),
                ("CREATE TRIGGER t AFTER UPDATE ON leases BEGIN UPDATE ranges SET state = 'free'; END",),
                ("CREATE TRIGGER t AFTER INSERT ON ranges BEGIN UPDATE ranges SET state = 'free'; END",),
                ("CREATE TRIGGER t AFTER UPDATE ON ranges BEGIN UPDATE ranges SET state = 'free'; END",),
                ("PRAGMA user_version = 77", "PRAGMA application_id = 5"),
                (f"CREATE UNIQUE INDEX u ON {table} ({column})",),
            )
        ):
            db.execute(statement)
        if dice.random() < 0.2:
            db.execute("PRAGMA journal_mode = DELETE")
