"""What a recording measures first: each cell's two resistances, and the voltage at which it is a coin."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivers import ArrayBlock, ArrayBoard, BoardError

from .._roles import BoardRole
from ._acquisition import ended_early, fetch, is_over

log = logging.getLogger(__name__)

_READINGS = 256  # per cell, at most: both states are seen some tens of times
_ALL_READINGS = 1 << 25  # of the array, so that large ones fit into memory
_MOST_READINGS = 1 << 21  # of one block: protocol, "Commands"
_MOST_BITS = 1 << 26
_SCAN = np.linspace(-0.15, 0.15, 7)  # trial trims, as fractions of the pulse voltage
_SCAN_PULSES = 1024
_FURTHEST = 0.3  # a trim is a correction: it never goes further than this fraction of the pulse voltage
_ROUNDS, _ROUND_PULSES = 3, 2048
TUNED = _ROUNDS * _ROUND_PULSES  # pulses per cell on which a trim rests
_CLOSE = 0.1  # a cell that stays further from one half is left out
_WINDOWS = 4.0  # standard deviations between each state and the threshold: 3e-5 misread
_SHORT, _OPEN = 0.2, 5.0  # of the array's median resistances

Stop = Callable[[], bool]


class Stopped(Exception):
    """The user stopped the calibration."""


@dataclass
class Cells:
    """What was measured of each cell; every array is (cells,), positions of one pulse; ohms and volts."""

    r_p: np.ndarray
    r_ap: np.ndarray
    threshold: np.ndarray
    trim: np.ndarray
    p_sw: np.ndarray
    reason: np.ndarray  # why a cell is quarantined, "" where it is not
    readings: np.ndarray  # a sample of raw readings, float32
    slope: np.ndarray | None = None  # of what was tuned, per volt; None where nothing was

    @property
    def used(self) -> np.ndarray:
        """Which cells are used, bool."""
        return self.reason == ""


def measure_states(role: BoardRole, voltage: float, stop: Stop) -> Cells:
    """Find each cell's two resistances and its threshold from raw readings; the output must be on.

    Toggles with the write pulse so that both states occur, at other voltages too for cells that show one only.
    Cells without two separate states are quarantined with a reason.
    """
    board: Any = role.board
    rows, columns = board.size
    cells = rows * columns
    board.mode = "toggle"
    board.pulses_per_block = 1
    board.payload = "resistances"
    sample = np.zeros(0, np.float32)
    found = np.full((4, cells), np.nan)  # r_p, r_ap, and their standard deviations
    sound = np.zeros(cells, bool)
    low, high = role.trim_range(voltage)
    wanted = int(np.clip(_ALL_READINGS // cells, 32, _READINGS))
    try:
        for fraction in (0.0, 0.1, -0.1):
            trim = float(np.clip(fraction * abs(voltage), low, high))
            role.set_trims(np.full((rows, columns), trim), voltage)
            blocks = acquire(role.board, wanted, cells, stop)
            readings = np.concatenate([b.resistances for b in blocks if b.resistances is not None])
            sample = readings[: max(1, (1 << 18) // cells)].ravel() if not len(sample) else sample
            parts = np.array_split(readings, max(1, cells >> 16), axis=1)
            measured = np.concatenate([two_states(part) for part in parts], axis=1)
            better = ~sound
            found[:, better] = measured[:, better]
            sound = apart(found)
            if sound.all():
                break
    finally:
        _quietly(role.board, "bits")
    role.set_trims(np.zeros((rows, columns)), voltage)
    r_p, r_ap = found[0], found[1]
    return Cells(
        r_p=r_p,
        r_ap=r_ap,
        threshold=(r_p + r_ap) / 2,
        trim=np.zeros(cells),
        p_sw=np.full(cells, np.nan),
        reason=_reasons(found, sound),
        readings=sample,
    )


def two_states(readings: np.ndarray) -> np.ndarray:
    """Split each cell's readings, (readings, cells), into two clusters.

    Returns (4, cells): the means of the lower and the upper cluster and their standard deviations; NaN where a
    cell shows one value only. Two-means in one dimension, from the middle of the range.
    """
    readings = readings.astype(np.float64)
    middle = (readings.min(0) + readings.max(0)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(3):
            middle = np.mean(_moments(readings, readings > middle)[:2], 0)
        return _moments(readings, readings > middle)


def _moments(readings: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Compute the means of each cell's readings that are not `upper` and that are, and their deviations."""
    many = upper.sum(0)
    few = len(readings) - many
    low, high = np.where(upper, 0, readings).sum(0) / few, np.where(upper, readings, 0).sum(0) / many
    off = (readings - np.where(upper, high, low)) ** 2
    spreads = np.where(upper, 0, off).sum(0) / few, np.where(upper, off, 0).sum(0) / many
    return np.stack([low, high, *np.sqrt(spreads)])


def apart(found: np.ndarray) -> np.ndarray:
    """Say which cells have two windows that do not overlap; `found` as `two_states` gives it."""
    r_p, r_ap, spread_p, spread_ap = found
    with np.errstate(invalid="ignore"):
        return (r_ap - r_p) / 2 > _WINDOWS * np.maximum(spread_p, spread_ap)


def _reasons(found: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Name what is wrong with each cell that is not sound, or far from the others."""
    r_p, r_ap = found[0], found[1]
    reason = np.where(sound, "", "no two separate resistances: stuck, or its states overlap").astype(object)
    if not sound.any():
        return reason
    typical_p, typical_ap = np.median(r_p[sound]), np.median(r_ap[sound])
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isnan(r_p), r_ap, np.where(np.isnan(r_ap), r_p, (r_p + r_ap) / 2))
        reason[~(middle > _SHORT * typical_p)] = "shorted"
        reason[~(middle < _OPEN * typical_ap)] = "open"
    return reason


def astray(cells: Cells, readings: np.ndarray) -> float:
    """Compute the fraction of the used cells whose reading is near neither of their two resistances.

    `readings`: one for each cell, ohm, (cells,). Near is a quarter of the distance between the two.
    """
    reach = (cells.r_ap - cells.r_p) / 4
    off = np.minimum(np.abs(readings - cells.r_p), np.abs(readings - cells.r_ap))
    return float(np.mean(~(off <= reach)[cells.used]))


def tune(role: BoardRole, cells: Cells, voltage: float, mode: str, stop: Stop, *, trims: bool) -> None:
    """Trim the write pulse of each cell until it switches every other time; fills `trim`, `p_sw`, `reason`.

    In `mode` "toggle" the fraction of changes is brought to one half (then neighbours in time do not correlate),
    in "reset" the fraction of ones. A scan finds where a cell crosses one half, some rounds with more pulses
    place it. With `trims=False` it is only measured. Thresholds and mask must be set, the output on.
    """
    board: Any = role.board
    rows, columns = board.size
    board.mode = mode
    toggle = mode == "toggle"

    def measured(volts: np.ndarray, pulses: int) -> np.ndarray:
        role.set_trims(np.where(cells.used, volts, 0.0).reshape(rows, columns), voltage)
        return switching(acquire(role.board, pulses, rows * columns, stop), rows * columns, toggle)

    trim = np.zeros(rows * columns)
    if trims:
        furthest = _FURTHEST * abs(voltage)
        low, high = np.clip(role.trim_range(voltage), -furthest, furthest)
        offsets = np.unique(np.clip(_SCAN * abs(voltage), low, high))
        scan = np.stack([measured(np.full_like(trim, offset), _SCAN_PULSES) for offset in offsets])
        trim, slope = crossing(offsets, scan)
        estimates = []
        for _ in range(_ROUNDS):
            away = np.nan_to_num(measured(trim, _ROUND_PULSES) - 0.5)
            estimates.append(trim - away / slope)
            trim = np.clip(np.mean(estimates, 0), low, high)
        cells.slope = slope
    p_sw = measured(trim, _ROUND_PULSES)
    cells.trim = np.where(cells.used, trim, 0.0)
    cells.p_sw = np.where(cells.used, p_sw, np.nan)
    if trims:
        far = cells.used & ~(np.abs(p_sw - 0.5) < _CLOSE)
        cells.reason[far] = "its switching probability cannot be brought near one half"
        cells.trim[far] = 0.0
        role.set_trims(cells.trim.reshape(rows, columns), voltage)


def crossing(offsets: np.ndarray, scan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where each cell's scan, (offsets, cells), rises through one half.

    Returns the offset, interpolated (the closest one where nothing crosses), and the slope there per volt.
    """
    scan = np.nan_to_num(scan)
    crosses = (scan[:-1] < 0.5) & (scan[1:] >= 0.5)
    first = crosses.argmax(0)
    column = np.arange(scan.shape[1])
    below, above = scan[first, column], scan[first + 1, column]
    step = offsets[first + 1] - offsets[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        between = offsets[first] + step * (0.5 - below) / (above - below)
    closest = offsets[np.abs(scan - 0.5).argmin(0)]
    overall = np.ptp(scan, axis=0) / np.ptp(offsets)
    found = crosses.any(0)
    slope = np.where(found, (above - below) / step, overall)
    # A slope from few pulses may be far too small; then a step from it would be far too large.
    return np.where(found, between, closest), np.maximum(slope, np.maximum(overall / 2, 0.1))


def switching(blocks: Iterator[ArrayBlock], cells: int, toggle: bool) -> np.ndarray:
    """Count each cell's fraction of ones, or for `toggle` of changes between pulses; NaN where none is usable."""
    hits, trials = np.zeros(cells), np.zeros(cells)
    for block in blocks:
        assert block.bits is not None
        bits = np.unpackbits(block.bits, count=block.positions).reshape(block.pulses, cells)
        usable = None
        if block.valid is not None:
            usable = np.unpackbits(block.valid, count=block.positions).reshape(block.pulses, cells)
        if toggle:
            bits = bits[1:] ^ bits[:-1]
            usable = None if usable is None else usable[1:] & usable[:-1]
        if usable is None:
            hits += bits.sum(0, dtype=np.uint32)
            trials += len(bits)
        else:
            hits += (bits & usable).sum(0, dtype=np.uint32)
            trials += usable.sum(0, dtype=np.uint32)
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits / trials


def acquire(board: ArrayBoard, pulses: int, cells: int, stop: Stop) -> Iterator[ArrayBlock]:
    """Run one finite acquisition and give its blocks; raises Stopped when `stop` says so."""
    settings: Any = board
    most = _MOST_READINGS if settings.payload == "resistances" else _MOST_BITS
    settings.pulses = pulses
    settings.pulses_per_block = max(2, min(pulses, most // cells))
    board.start()
    done = 0
    try:
        while done < pulses:
            if stop():
                raise Stopped
            block = fetch(board).block
            if block is None:
                if is_over(board):
                    raise ended_early(board)
                continue
            done += block.pulses
            yield block
            if (
                block.last
            ):  # one before it may have been lost: what is measured here needs no block in particular
                return
    finally:
        # After the last block too: that it was fetched does not say that the board is idle again.
        if not board.lost:
            board.abort()


def _quietly(board: ArrayBoard, payload: str) -> None:
    """Bring the payload back, also while an error is on its way out."""
    if board.lost:
        return
    settings: Any = board
    try:
        settings.payload = payload
    except BoardError as error:
        log.warning("the payload could not be set back: %s", error)
