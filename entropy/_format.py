"""The buffer file: names, types, how one is made and how one is opened without trusting it.

docs/buffer-format.md describes the same for people who read buffers with other programs.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ._errors import StoreError

FORMAT = "memtj-buffer"
FORMAT_VERSION = 1
BIT_ORDER = "most significant bit first; time, then row, then column"

BLOCK_DTYPE = np.dtype(
    [
        ("first_byte", "<u8"),  # of the block in /bits
        ("bits", "<u8"),  # usable bits; the block takes ceil(bits / 8) bytes
        ("ones", "<u8"),
        ("positions", "<u8"),  # pulses x cells, usable or not
        ("valid_offset", "<i8"),  # byte in /valid, -1 where every position is usable
        ("sequence", "<u8"),  # the board's number of the block
        ("host_time", "<f8"),  # s since 1970-01-01 UTC
        ("board_time", "<f8"),  # s by the board's clock, of the first pulse
        ("pulses", "<u8"),
        ("voltage", "<f8"),  # V at the device
        ("width", "<f8"),  # s
        ("read_voltage", "<f8"),  # V at the device
        ("field", "<f8"),  # T
        ("temperature", "<f8"),  # K
        ("failed_resets", "<u8"),
        ("health", "<u4"),  # flags as known at commit; not 0: withheld
        ("stalled", "<u4"),  # 1 where the board had paused before this block
        ("crc", "<u4"),  # CRC-32 of the block's bytes in /bits
        ("valid_crc", "<u4"),  # CRC-32 of its bytes in /valid, 0 where it has none
        ("reserved", "<u4"),
        ("row_crc", "<u4"),  # CRC-32 of all bytes of this row before this field
    ]
)
CELL_DTYPE = np.dtype(
    [
        ("row", "<u4"),
        ("column", "<u4"),
        ("r_p", "<f8"),  # ohm
        ("r_ap", "<f8"),  # ohm
        ("threshold", "<f8"),  # ohm
        ("trim", "<f8"),  # V
        ("p_sw", "<f8"),  # at tuning
        ("quarantined", "u1"),
    ]
)
_ROW_BYTES_CHECKED = BLOCK_DTYPE.itemsize - 4

# 256 KiB chunks without fill values: 1 MiB blocks go to disk at the speed of the plain file, and a 64 KiB
# block does not rewrite megabytes.
_CHUNK_BITS = 1 << 18
_CHUNK_VALID = 1 << 14
_CHUNK_ROWS = 32
_DATASETS = {"bits": np.dtype("u1"), "valid": np.dtype("u1"), "blocks": BLOCK_DTYPE, "cells": CELL_DTYPE}
OVER_SCALE = 65535


def crc32(data: np.ndarray) -> int:
    """Compute the CRC-32 (IEEE 802.3, as zlib does) of a contiguous array's bytes."""
    return zlib.crc32(data)  # type: ignore[arg-type]


def row_crc(row: np.ndarray) -> int:
    """Compute the check of one block row (a 0-d or 1-element array of BLOCK_DTYPE)."""
    return zlib.crc32(row.tobytes()[:_ROW_BYTES_CHECKED])


def sound_rows(rows: np.ndarray) -> np.ndarray:
    """Say for each block row whether its own check is right; shape (rows,), bool."""
    raw = rows.tobytes()
    size = BLOCK_DTYPE.itemsize
    found = [zlib.crc32(raw[at : at + _ROW_BYTES_CHECKED]) for at in range(0, len(raw), size)]
    return np.asarray(found, np.uint32) == rows["row_crc"]


def create_buffer(
    path: Path, attributes: Mapping[str, Any], cells: np.ndarray, resistances: int
) -> h5py.File:
    """Make a buffer file with everything in it that must exist before followers may come, SWMR mode on.

    `resistances` is how many raw readings to make room for; 0 makes no `/resistances`.
    """
    file = h5py.File(path, "x", libver="latest")
    try:
        for name, value in attributes.items():
            file.attrs.create(name, value)
        _extendible(file, "bits", np.dtype("u1"), _CHUNK_BITS)
        _extendible(file, "valid", np.dtype("u1"), _CHUNK_VALID)
        _extendible(file, "blocks", BLOCK_DTYPE, _CHUNK_ROWS)
        file.create_dataset("cells", data=np.ascontiguousarray(cells, CELL_DTYPE))
        if resistances:
            sample = _extendible(file, "resistances", np.dtype("<u2"), min(resistances, 1 << 15))
            sample.attrs["scale"] = _resistance_scale(cells)
            sample.attrs["room"] = np.uint64(resistances)
        file.swmr_mode = True
    except BaseException:
        file.close()
        raise
    return file


def _extendible(file: h5py.File, name: str, dtype: np.dtype, chunk: int) -> Any:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((chunk,))
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # filling chunks that are written at once costs 4x
    space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, settings))


def _resistance_scale(cells: np.ndarray) -> np.float64:
    """Ohms per count, so that four times the largest known R_AP is still on the scale."""
    known = cells["r_ap"][np.isfinite(cells["r_ap"]) & (cells["r_ap"] > 0)]
    return np.float64(4 * (float(known.max()) if len(known) else 1e6) / (OVER_SCALE - 1))


def snapshot(name: str, value: Any) -> np.bytes_:
    """Turn JSON-able data into a fixed-length attribute (a variable-length one cannot be followed live)."""
    try:
        return np.bytes_(json.dumps(value, ensure_ascii=True, sort_keys=True))
    except (TypeError, ValueError) as error:
        raise StoreError(f"the {name} snapshot is not plain JSON data: {error}") from None


def open_buffer(path: Path) -> h5py.File:
    """Open a buffer for reading, live or left behind as well, after refusing anything that is not one.

    Raises StoreError where the file is missing, damaged, of another format or version, or holds links to
    other files, Python objects or filtered data: reading such things could run or read what it should not.
    """
    try:
        file = h5py.File(path, "r", swmr=True, libver="latest")
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: bring it back; its bits cannot be read without it") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be opened as a buffer: {reason}; is it an HDF5 file?") from None
    try:
        _refuse_foreign(path, file)
    except StoreError:
        file.close()
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        file.close()
        raise StoreError(f"{path} is damaged: {error}; restore it from a copy") from None
    return file


def _refuse_foreign(path: Path, file: Any) -> None:
    for name in file:
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise StoreError(f"{path}: /{name} is a link to elsewhere; buffers hold none, so it is refused")
    if read_text(file, "format") != FORMAT:
        raise StoreError(f"{path} is an HDF5 file but no memtj buffer: keep it out of the store")
    version = int(file.attrs["format_version"])
    if version != FORMAT_VERSION:
        raise StoreError(
            f"{path} has buffer format {version} and this program reads "
            f"{FORMAT_VERSION}: use the memtj that wrote it"
        )
    for name, dtype in _DATASETS.items():
        _refuse_odd(path, name, file.get(name), dtype)
    if "resistances" in file:
        _refuse_odd(path, "resistances", file["resistances"], np.dtype("<u2"))


def _refuse_odd(path: Path, name: str, dataset: Any, dtype: np.dtype) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise StoreError(f"{path}: /{name} is missing; it is no complete buffer")
    if dataset.dtype != dtype or dataset.ndim != 1:
        raise StoreError(f"{path}: /{name} holds {dataset.dtype} where {dtype} belongs, so it is refused")
    settings = dataset.id.get_create_plist()
    if settings.get_external_count() or dataset.is_virtual or settings.get_nfilters():
        raise StoreError(f"{path}: /{name} is kept outside the file or filtered, so it is refused")


def read_text(file: Any, name: str) -> str:
    """Read a fixed-length text attribute; '' where it is absent or something else."""
    value = file.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
