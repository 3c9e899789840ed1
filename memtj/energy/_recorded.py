"""The account of recorded bits: joules per usable bit by term, and area, from a store's own rows and cells."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from entropy import BufferInfo, Store
from instruments.holding import trims_at
from memtj._errors import CommandError

from ._assumptions import Assumed, Assumptions
from ._joules import Joules, at_bias
from ._recorded_draws import RecordedDraws
from ._terms import Level, Standing, Term, total


@dataclass(frozen=True)
class Areas:
    """Square metres of one cell: its junction, the cell with its transistor, and its share of array and periphery."""

    junction: float
    cell: float
    with_periphery: float


@dataclass(frozen=True)
class StoreEnergy:
    """What the usable bits of a store took: `terms` in joules per bit.

    `device_seconds`: by the board's clock; `cells`: pulsed together, over the buffers by their bits.
    """

    bits: int
    simulated: bool
    device_seconds: float | None
    cells: float
    terms: tuple[Term, ...]
    areas: Areas

    @property
    def bits_per_area(self) -> dict[str, float | None]:
        """Bits/(s·µm²) at each level of area, by the board's clock."""
        rate = self.bits / self.device_seconds / self.cells if self.device_seconds else None
        return {
            name: None if rate is None else rate / (area * 1e12) for name, area in vars(self.areas).items()
        }

    @property
    def energy_area(self) -> dict[str, float | None]:
        """J·µm²/bit at each level of area: a smaller cell and fewer joules both make it smaller."""
        joules = total(self.terms)
        return {
            name: None if joules is None else joules * area * 1e12 for name, area in vars(self.areas).items()
        }


def energy_of_store(
    store: Store, assumed: Assumptions, buffers: Collection[str] | None = None
) -> StoreEnergy:
    """Account for the usable bits of a store, or of these of its buffers (uuids); nothing is spent.

    Draws count as bits, with the volts of each pulse as their calibration and block have them. Raises CommandError
    where there are no bits, or no file of them, or where a recording of draws does not say what was pulsed.
    """
    named = None if buffers is None else set(buffers)
    there = [
        info
        for info in store.buffers()
        if info.bits and info.path.exists() and (named is None or info.uuid in named)
    ]
    if not there or (named is not None and len(there) < len(named)):
        raise CommandError(
            f"{store.path} does not have the recorded bits: name a store with the buffers that are meant."
        )
    sums, seconds, cells, held = Joules(), 0.0, 0.0, False
    bits = sum(info.bits for info in there)
    stored: dict[str, np.ndarray] = {}  # what the cells held at the end of a recording's buffer before
    for info in there:
        if info.drawn:
            run = RecordedDraws(store, info, assumed, stored.get(info.recording))
            stored[info.recording] = run.stored
        else:
            run = _Buffer(store, info, assumed)
        sums.add(run.sums())
        seconds += run.seconds
        cells += info.bits / bits * run.together
        held = held or "hold_voltage" in run.procedure
    diameter = _diameter(store.bench(there[0].uuid), assumed)
    return StoreEnergy(
        bits,
        any(info.simulated for info in there),
        seconds if math.isfinite(seconds) and seconds > 0 else None,
        cells,
        _of_draws(terms_of(sums, bits, assumed, held), any(info.drawn for info in there)),
        Areas(
            math.pi / 4 * diameter**2,
            assumed.cell_area.value,
            assumed.cell_area.value / assumed.array_efficiency.value,
        ),
    )


def _of_draws(terms: tuple[Term, ...], drawn: bool) -> tuple[Term, ...]:
    """Say of the terms what else is in them where bits are draws."""
    more = {
        "write from P": "; of draws V by V(P) and the block's mean",
        "write from AP": "; of draws those that read AP, V likewise",
        "host": "; of draws the network's time included",
        "magnet": "; of draws always on",
    }
    return tuple(
        replace(term, basis=term.basis + more[term.name]) if drawn and term.name in more else term
        for term in terms
    )


def _diameter(bench: dict[str, Any], assumed: Assumptions) -> float:
    return float((bench.get("array") or {}).get("diameter") or assumed.junction_diameter.value)


class _Buffer:
    """One buffer's rows and cells, and the joules that follow from them."""

    def __init__(self, store: Store, info: BufferInfo, assumed: Assumptions) -> None:
        self.info, self.assumed = info, assumed
        self.procedure = store.procedure(info.uuid)
        self.rows, self.cells = store.rows(info.uuid), store.cells(info.uuid)
        resistive = np.isfinite(self.cells["r_p"]) & (self.cells["r_p"] > 0) & (self.cells["r_ap"] > 0)
        self.used = (self.cells["quarantined"] == 0) & resistive
        self.together = int(self.used.sum())
        self.pulses = float(self.rows["pulses"].sum())
        self.ones = info.ones / info.bits
        self.toggle = self.procedure.get("mode") == "toggle"
        self.readings = 1 if self.toggle else 2
        self.seconds = self._span("board_time", self._period())
        self.trims = _trims(store, info.uuid, self.cells)

    def _known(self, name: str) -> float:
        """A parameter of the procedure; NaN where the recording does not say it."""
        value = self.procedure.get(name)
        return float(value) if isinstance(value, int | float) else math.nan

    def _period(self) -> float:
        return self._known("period") + self.readings * self._known("settle")

    def _span(self, clock: str, each: float) -> float:
        """Seconds of all pulses by a clock, stops left out; without two blocks, at `each` a pulse."""
        steps = np.diff(self.rows[clock])
        # Blocks that were not made one after the other say nothing of a pulse's time.
        good = (np.diff(self.rows["sequence"].astype(np.int64)) == 1) & (steps > 0)
        pulses = float(self.rows["pulses"][:-1][good].sum())
        return self.pulses * (float(steps[good].sum()) / pulses if pulses else each)

    def sums(self) -> Joules:
        """Joules of the whole buffer by term."""
        a, cells = self.assumed, self.cells[self.used]
        r_p, r_ap = cells["r_p"], cells["r_ap"]
        read_voltage = float(np.average(self.rows["read_voltage"], weights=self.rows["pulses"]))
        write = {state: self._write(state, r_p, r_ap, read_voltage) for state in ("p", "ap")}
        from_ap = self.ones if self.toggle else 0.0
        reset_volts, reset_width = self._known("reset_voltage"), self._known("reset_width")
        reset = self.pulses * self.ones * reset_volts**2
        reset_joules = reset * reset_width * (1 / at_bias(r_p, r_ap, read_voltage, reset_volts, a)).sum()
        seen = (self.ones / r_ap + (1 - self.ones) / r_p).sum()
        if not self.toggle:
            seen += (1 / r_p).sum()
        settle = self._known("settle")
        each = self.pulses * len(cells)
        charged = (1 - from_ap) * write["p"][1] + from_ap * write["ap"][1]
        charged += self.readings * each * read_voltage**2 + (0.0 if self.toggle else reset * len(cells))
        hold = self._known("hold_voltage") if "hold_voltage" in self.procedure else a.hold_voltage.value
        idle = self.seconds - self.pulses * (self.readings * settle)
        between = (self.ones / r_ap + (1 - self.ones) / r_p).sum()
        field = np.nan_to_num(self.rows["field"], nan=1.0)
        return Joules(
            write_from_p=(1 - from_ap) * write["p"][0],
            write_from_ap=from_ap * write["ap"][0],
            reset=0.0 if self.toggle else reset_joules,
            read=self.pulses * read_voltage**2 * settle * seen,
            line=a.line_capacitance.value * charged,
            conversions=a.conversion_energy.value * each,
            comparisons=a.comparison_energy.value * each * self.readings,
            hold=hold**2 * max(idle, 0.0) * between if hold else 0.0,
            magnet=a.magnet_power.value * self.seconds if field.any() else 0.0,
            wire=a.wire_energy.value * float(self.rows["positions"].sum()),
            host=a.host_power.value * self._span("host_time", math.nan),
        )

    def _write(
        self, state: str, r_p: np.ndarray, r_ap: np.ndarray, read_voltage: float
    ) -> tuple[float, float]:
        """Joules, and volts² over all pulses and cells, of the write pulses if all started from P, or from AP."""
        volts, widths = (each[self.used] for each in self.trims[state])
        points, at = np.unique(self.rows[["voltage", "width"]], return_inverse=True)
        joules = squares = 0.0
        for point, pulses in zip(points, np.bincount(at, self.rows["pulses"]), strict=True):
            v = point["voltage"] + volts
            r = r_p if state == "p" else at_bias(r_p, r_ap, read_voltage, v, self.assumed)
            joules += pulses * float((v**2 * (point["width"] + widths) / r).sum())
            squares += pulses * float((v**2).sum())
        return joules, squares


def _trims(store: Store, buffer: str, cells: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Volts and seconds that each cell's pulse has more than its block's, from P and from AP, as recorded at last."""
    none, tuned, actions = np.zeros(len(cells)), store.tuning(buffer), store.actions(buffer)
    last = int(actions["block"].max(initial=0))

    def at_last(what: str, untuned: np.ndarray) -> np.ndarray:
        start = untuned if tuned is None else np.stack([tuned[0][f"{what}_p"], tuned[0][f"{what}_ap"]])
        return np.nan_to_num(trims_at(start, actions, last, what))

    volts, widths = at_last("voltage", cells["trim"]), at_last("width", none)
    return {state: (volts[row], widths[row]) for row, state in enumerate(("p", "ap"))}


def terms_of(sums: Joules, bits: int, a: Assumptions, held: bool) -> tuple[Term, ...]:
    def term(name: str, level: Level, joules: float, basis: str, *needed: Assumed) -> Term:
        known = math.isfinite(joules)
        standing: Standing = "computed" if known else "not known"
        if known and any(each.standing == "assumed" for each in needed) and joules:
            standing = "assumed"
        return Term(name, level, joules / bits if known else None, standing, basis)

    own_hold: Iterable[Assumed] = () if held else (a.hold_voltage,)
    return (
        term("write from P", "junction", sums.write_from_p, "V²w/R_P of every cell's pulses"),
        term(
            "write from AP", "junction", sums.write_from_ap, "V²w/R_AP(V), fraction of ones", a.half_voltage
        ),
        term("reset", "junction", sums.reset, "V²w/R_AP(V) of the cells that read AP", a.half_voltage),
        term("read", "junction", sums.read, "V²t/R of every reading, by state"),
        term("line", "circuit", sums.line, "CV² of every pulse and reading", a.line_capacitance),
        term("DAC", "circuit", sums.conversions, "one conversion for a cell's pulse", a.conversion_energy),
        term("comparator", "circuit", sums.comparisons, "one for a reading", a.comparison_energy),
        term("hold", "circuit", sums.hold, "V²t/R between readings", *own_hold),
        term("magnet", "system", sums.magnet, "power × time by the board's clock", a.magnet_power),
        term("wire", "system", sums.wire, "every raw bit, usable or not", a.wire_energy),
        term("host", "system", sums.host, "power × time by the host's clock", a.host_power),
    )
