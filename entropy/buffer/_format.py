"""The buffer file: names, types, and how one is made.

docs/buffer-format.md describes the same for people who read buffers with other programs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from .._errors import StoreError

FORMAT = "memtj-buffer"
FORMAT_VERSION = 2
DRAWS_VERSION = 3  # of a buffer of draws: who does not know that they are used must not hand them out
# HDF5 1.10 is the oldest that can follow a growing file, and what it writes every later one reads. "latest" is of
# the library at hand: since HDF5 2.0 it writes compound types that no older one reads.
LIBVER = ("v110", "v110")
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
        ("health", "<u4"),  # flags as known at commit; not 0: withheld, or a draw (`DRAWN`)
        ("stalled", "<u4"),  # 1 where the board had paused before this block
        ("crc", "<u4"),  # CRC-32 of the block's bytes in /bits
        ("valid_crc", "<u4"),  # CRC-32 of its bytes in /valid, 0 where it has none
        ("reserved", "<u4"),  # CRC-32 of its values in /commanded, 0 where it has none
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
TUNING_DTYPE = np.dtype(
    [
        # what is added to the write pulse, from P and from AP: V at the device, s
        ("voltage_p", "<f8"),
        ("width_p", "<f8"),
        ("voltage_ap", "<f8"),
        ("width_ap", "<f8"),
        # of the fraction that the direction is tuned to, and the ends of its stated 95 % interval
        ("p_from_p", "<f8"),
        ("p_from_p_low", "<f8"),
        ("p_from_p_high", "<f8"),
        ("p_from_ap", "<f8"),
        ("p_from_ap_low", "<f8"),
        ("p_from_ap_high", "<f8"),
        # d logit(P) at the trim, by the volts and by the seconds that are added to the pulse: 1/V, 1/s
        ("per_volt_p", "<f8"),
        ("per_second_p", "<f8"),
        ("per_volt_ap", "<f8"),
        ("per_second_ap", "<f8"),
        ("pulses", "<u8"),  # that the cell was given
        ("reason", "S48"),  # why it was quarantined, "" where it was not
    ]
)
ACTION_DTYPE = np.dtype(
    [
        ("block", "<u8"),  # the first one of this buffer that was made with it
        ("cell", "<i4"),  # -1: every cell
        ("state", "<u4"),  # that the pulses start from: FROM_P, FROM_AP or FROM_BOTH
        ("voltage", "<f8"),  # V at the device, what was added to the trim
        ("width", "<f8"),  # s, what was added to the trim
        ("p_estimate", "<f8"),  # that it was done for; NaN where it is not known
        ("generation", "<u4"),  # the board's settings generation from which on it holds
        ("row_crc", "<u4"),  # CRC-32 of all bytes of this row before this field
    ]
)
FROM_P, FROM_AP, FROM_BOTH = 1, 2, 3
ROW_CRC_BYTES = 4  # the last ones of a row, which check those before

# 256 KiB chunks without fill values: 1 MiB blocks go to disk at the speed of the plain file, and a 64 KiB
# block does not rewrite megabytes.
_CHUNK_BITS = 1 << 18
_CHUNK_VALID = 1 << 14
_CHUNK_ROWS = 32
_CHUNK_COMMANDED = 1 << 15
OVER_SCALE = 65535


def crc32(data: np.ndarray) -> int:
    """Compute the CRC-32 (IEEE 802.3, as zlib does) of a contiguous array's bytes."""
    return isal_zlib.crc32(data)


def row_crcs(rows: np.ndarray) -> np.ndarray:
    """Compute the checks of rows that end in one, of BLOCK_DTYPE or ACTION_DTYPE; uint32."""
    raw, size = rows.tobytes(), rows.dtype.itemsize
    found = [isal_zlib.crc32(raw[at : at + size - ROW_CRC_BYTES]) for at in range(0, len(raw), size)]
    return np.asarray(found, np.uint32)


def create_buffer(
    path: Path,
    attributes: Mapping[str, Any],
    cells: np.ndarray,
    resistances: int,
    tuning: np.ndarray | None = None,
    *,
    actions: bool = False,
    commanded: bool = False,
) -> h5py.File:
    """Make a buffer file with everything in it that must exist before followers may come, SWMR mode on.

    `resistances` is how many raw readings to make room for; 0 makes no `/resistances`. `tuning`: TUNING_DTYPE,
    one for each cell, None makes no `/tuning`; `actions` and `commanded` say whether there is to be an `/actions`,
    a `/commanded`.
    """
    file = h5py.File(path, "x", libver=LIBVER)
    try:
        for name, value in attributes.items():
            file.attrs.create(name, value)
        _extendible(file, "bits", np.dtype("u1"), _CHUNK_BITS)
        _extendible(file, "valid", np.dtype("u1"), _CHUNK_VALID)
        _extendible(file, "blocks", BLOCK_DTYPE, _CHUNK_ROWS)
        file.create_dataset("cells", data=np.ascontiguousarray(cells, CELL_DTYPE))
        if tuning is not None:
            file.create_dataset("tuning", data=np.ascontiguousarray(tuning, TUNING_DTYPE))
        if actions:
            _extendible(file, "actions", ACTION_DTYPE, _CHUNK_ROWS)
        if commanded:
            _extendible(file, "commanded", np.dtype("<u2"), _CHUNK_COMMANDED)
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
