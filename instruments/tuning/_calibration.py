"""What is measured of an array first: each cell's two resistances, and the pulse at which it switches as wanted."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numba
import numpy as np

from .._errors import BenchError
from ..array import Array, Stop, Trims, blocks_of, count_switchings
from ..holding import Response
from ._pulser import ArrayPulser
from ._search import VOLTAGE, WIDTH, Range, Search, Tuned
from ._switching_curve import Prior, fit

log = logging.getLogger(__name__)

_READINGS = 256  # per cell, at most: both states are seen some tens of times
_ALL_READINGS = 1 << 25  # of the array, so that large ones fit into memory
_FURTHEST = 0.25  # a trim is a correction: it never goes further than this fraction of the pulse voltage
_NARROWEST, _WIDEST = -0.5, 0.6  # the same of the width
_PROBABILITY_PULSES = 2048
_WINDOWS = 4.0  # standard deviations between each state and the threshold: 3e-5 misread
_LEAST_TMR = 0.05  # by which R_AP exceeds R_P
_SHORT, _OPEN = 0.5, 2.0  # of the array's median R_P, and R_AP

Report = Callable[[str, int, ArrayPulser], None]


def _silent(stage: str, done: int, pulser: ArrayPulser) -> None:
    pass


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
    trims: Trims = field(default_factory=Trims)  # of all kinds, (cells,) each
    response: Response | None = None  # None where nothing was tuned

    def quarantined(self, columns: int) -> list[tuple[int, int, str]]:
        """Give row, column and reason of each cell that is left out."""
        left_out = np.flatnonzero(~self.used)
        return [(*divmod(int(cell), columns), str(self.reason[cell])) for cell in left_out]

    def refuse_if_none(self) -> None:
        """Raise BenchError where no cell can be used; those that could not be tuned count by their beginning."""
        if self.used.any():
            return
        kinds = [str(reason).split(":")[0] for reason in self.reason]
        listed = ", ".join(f"{kinds.count(kind)} cells: {kind}" for kind in sorted(set(kinds)))
        raise BenchError(
            f"no cell of the array can be used ({listed}): check contacts, pulse voltage and read voltage"
        )

    def apply_to(self, array: Array) -> None:
        """Set thresholds, mask and trims of an array."""
        array.set_thresholds(np.where(self.used, self.threshold, 1e9))
        array.set_mask(self.used)
        array.set_trims(self.trims)

    @property
    def used(self) -> np.ndarray:
        """Which cells are used, bool."""
        return self.reason == ""


def warm_up() -> None:
    """Have what measuring and tuning compute with compiled, before the output is on: it can outlast a watchdog."""
    one = np.ones((1, 1))
    two_states(one.astype(np.float32))
    fit(one, one, one, 0.5, centre=one[0], scale=one[0], prior=Prior(), window=1.0)


def measure_states(array: Array, stop: Stop) -> Cells:
    """Find each cell's two resistances and its threshold from raw readings; the output must be on.

    Toggles with the write pulse so that both states occur, with other voltages for cells that show one only, and then
    with the reset pulse: where either pulse switches in one direction alone, the two together show both states.
    Cells without two separate states are quarantined with a reason.
    """
    rows, columns = array.shape
    cells, point = rows * columns, array.point
    taken: list[np.ndarray] = []
    found = np.full((4, cells), np.nan)  # r_p, r_ap, and their standard deviations
    sound = np.zeros(cells, bool)
    wanted = int(np.clip(_ALL_READINGS // cells, 32, _READINGS))
    for fewer in _stirring(array):
        taken.append(array.toggle_readings(wanted // fewer, stop))
        readings = np.concatenate(taken) if fewer > 1 else taken[-1]
        parts = np.array_split(readings, max(1, cells >> 16), axis=1)
        measured = np.concatenate([two_states(part) for part in parts], axis=1)
        better = ~sound
        found[:, better] = measured[:, better]
        sound = apart(found)
        if sound.all():
            break
    array.set_working_point(point)
    r_p, r_ap = found[0], found[1]
    return Cells(
        r_p=r_p,
        r_ap=r_ap,
        threshold=(r_p + r_ap) / 2,
        trim=np.zeros(cells),
        p_sw=np.full(cells, np.nan),
        reason=_reasons(found, sound),
        readings=taken[0][: max(1, (1 << 18) // cells)].ravel(),
    )


def _stirring(array: Array) -> Iterator[int]:
    """Set one pulse after the other that may show cells in both states; gives 1, or 4 where all readings count."""
    low, high = array.trim_range()
    point = array.point
    for fraction in (0.0, 0.1, -0.1):
        trim = float(np.clip(fraction * abs(point.voltage), low, high))
        array.set_trims(Trims(voltage_p=trim, voltage_ap=trim))
        yield 1
    array.set_trims(Trims())
    array.set_working_point(replace(point, voltage=point.reset_voltage, width=point.reset_width))
    yield 4


def two_states(readings: np.ndarray) -> np.ndarray:
    """Split each cell's readings, (readings, cells), into two clusters.

    Returns (4, cells): the means of the lower and the upper cluster and their standard deviations; NaN where a
    cell shows one value only. Two-means in one dimension, from the middle of the range.
    """
    low, high = readings.min(0), readings.max(0)
    middle = (low.astype(np.float64) + high) / 2
    for _ in range(3):
        middle = np.mean(_moments(readings, middle)[:2], 0)
    return _moments(readings, middle)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _moments(readings, middle):
    """Compute the means of each cell's readings up to its `middle` and above, and their deviations."""
    rows, cells = readings.shape
    many, sums, squares = np.zeros((2, cells)), np.zeros((2, cells)), np.zeros((2, cells))
    for row in range(rows):
        for cell in range(cells):
            upper = int(readings[row, cell] > middle[cell])
            many[upper, cell] += 1
            sums[upper, cell] += readings[row, cell]
    means = sums / many
    for row in range(rows):
        for cell in range(cells):
            upper = int(readings[row, cell] > middle[cell])
            squares[upper, cell] += (readings[row, cell] - means[upper, cell]) ** 2
    return np.concatenate((means, np.sqrt(squares / many)))


def apart(found: np.ndarray) -> np.ndarray:
    """Say which cells have two windows that do not overlap; `found` as `two_states` gives it."""
    r_p, r_ap, spread_p, spread_ap = found
    with np.errstate(invalid="ignore"):
        wide = (r_ap - r_p) / 2 > _WINDOWS * np.maximum(spread_p, spread_ap)
        return wide & (r_ap > (1 + _LEAST_TMR) * r_p)


def _reasons(found: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Name what is wrong with each cell that is not sound, or far from the others."""
    r_p, r_ap = found[0], found[1]
    if not sound.any():
        return np.full(len(sound), "no two separate resistances: stuck, or its states overlap", object)
    reason = np.where(sound, "", "its two states overlap").astype(object)
    typical_p, typical_ap = np.median(r_p[sound]), np.median(r_ap[sound])
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isnan(r_p), r_ap, np.where(np.isnan(r_ap), r_p, (r_p + r_ap) / 2))
        one = ~sound & ~(r_ap > (1 + _LEAST_TMR) * r_p)
        reason[one] = np.where(middle < (typical_p + typical_ap) / 2, "stuck in P", "stuck in AP")[one]
        reason[~(middle > _SHORT * typical_p)] = "shorted"
        reason[~(middle < _OPEN * typical_ap)] = "open"
    return reason


def fraction_at_neither_state(cells: Cells, readings: np.ndarray) -> float:
    """Compute the fraction of the used cells whose reading is near neither of their two resistances.

    `readings`: one for each cell, ohm, (cells,). Near is a quarter of the distance between the two.
    """
    reach = (cells.r_ap - cells.r_p) / 4
    off = np.minimum(np.abs(readings - cells.r_p), np.abs(readings - cells.r_ap))
    return float(np.mean(~(off <= reach)[cells.used]))


def tune(
    array: Array,
    cells: Cells,
    stop: Stop,
    *,
    target: float,
    tolerance: float,
    accept: float | None = None,
    report: Report = _silent,
) -> tuple[Tuned, np.ndarray]:
    """Trim the write pulse of each cell and direction until it switches with the probability `target`.

    Fills `trim` and `reason` of the cells; cells that cannot be brought there are quarantined, unless their best
    trim is within `accept` of it. Thresholds must be set, the output on. Returns what was found, (2, cells) by the
    state that pulses start from, and the pulses of each cell. On a board of protocol 1.0 the voltage alone is
    trimmed, in a toggle so that a cell *changes* with `target`.
    """
    pulser = ArrayPulser(array, stop)
    search = Search(
        pulser, pulser.columns, target, tolerance, _ranges(array),
        accept=accept,
        report=lambda stage, _, done: report(stage, done, pulser),
    )  # fmt: skip
    found = search.run(np.tile(cells.used, pulser.columns // pulser.cells))
    _judge(cells, found, pulser)
    both = by_state(found, pulser)
    cells.trim = np.where(cells.used, both.voltage[0], 0.0)
    cells.trims = Trims(*(np.where(cells.used, each, 0.0) for each in
                          (both.voltage[0], both.width[0], both.voltage[1], both.width[1])))  # fmt: skip
    cells.response = Response.of(both.per_volt, both.low, both.high, target)
    return both, pulser.pulses


def _ranges(array: Array) -> dict[str, Range]:
    (low, high), point = array.trim_range(), array.point
    furthest = _FURTHEST * abs(point.voltage)
    ranges = {VOLTAGE: Range(max(low, -furthest), min(high, furthest))}
    if array.has_all_trims:
        most = array.longest_pulse() - point.width
        ranges[WIDTH] = Range(_NARROWEST * point.width, float(min(_WIDEST * point.width, most)))
    return {name: each for name, each in ranges.items() if each.low < 0 < each.high}


def _judge(cells: Cells, found: Tuned, pulser: ArrayPulser) -> None:
    """Quarantine the cells that could not be tuned, and say between what their probability could be moved."""
    n, k = (np.stack(each) for each in (found.points.n, found.points.k))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(n > 0, k / n, np.nan)
    failed = ~found.done.reshape(-1, pulser.cells)
    for index, state in enumerate(("P", "AP")[: len(failed)]):
        for cell in np.flatnonzero(failed[index] & cells.used):
            seen = p[:, index * pulser.cells + cell]
            seen = seen[np.isfinite(seen)]
            between = f"{seen.min():.3f} to {seen.max():.3f}" if len(seen) else "no pulse counted"
            cells.reason[cell] = f"cannot be tuned from {state}: {between}"


def by_state(found: Tuned, pulser: ArrayPulser) -> Tuned:
    """Give what was found as (2, cells); where one direction was tuned the other has its trims, and no probability."""
    names = ("voltage", "width", "done", "actuator", "p", "low", "high", "per_volt", "per_second")
    values = {name: getattr(found, name).reshape(-1, pulser.cells) for name in names}
    for name, each in values.items():
        if len(each) == 1:
            other = each if name in ("voltage", "width", "done", "actuator") else np.full_like(each, np.nan)
            values[name] = np.concatenate([each, other])
    return Tuned(**values, points=found.points)


def measure_probability(array: Array, cells: Cells, stop: Stop) -> None:
    """Fill `p_sw`: each used cell's fraction of ones, in a toggle of changes, at the trims that are set."""
    blocks = blocks_of(array, _PROBABILITY_PULSES, stop)
    n, k = count_switchings(blocks, len(cells.reason), array.point.toggle)
    with np.errstate(invalid="ignore", divide="ignore"):
        cells.p_sw = np.where(cells.used, k.sum(0) / n.sum(0), np.nan)
