"""An array's cells: one kind of macrospin, each cell with its own deviations, in the array's `Device` interface."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mock_hw._arguments import Count, Real, Reals, takes
from mock_hw.physics import _readout
from mock_hw.physics._constants import BOLTZMANN
from mock_hw.physics._drift import Drift
from mock_hw.physics._parameters import CUT, DeviceParameters, load_device
from mock_hw.physics._retention import EscapeRates
from mock_hw.physics._table import SwitchingTable, table_of

Floats = NDArray[np.floating]

# Settings of which the part of the escape rates that no temperature changes is kept, for arrays of moderate size.
_MOST_ESCAPES, _KEPT_CELLS = 8, 1 << 16
_BROKEN = 300.0  # ohms of a barrier that broke down: our own choice


class MacrospinDevice:
    """Cells of one kind with their spread; `seed` decides it. Satisfies `mock_hw.Device`.

    The spread enters P_sw through exact scaling (in-plane field: all other fields, and times; critical voltage: the
    pulse's voltage) or through the table's own axes (anisotropy, stray field). What is not scaled with the in-plane
    field are the pulse's edges and the time in which an outcome is decided: a cell 5 % off is wrong by 0.0014 at most.
    """

    @takes(cells=Count(1), seed=Count())
    def __init__(
        self, parameters: DeviceParameters, cells: int, seed: int, *, table: SwitchingTable | None = None
    ) -> None:
        self.parameters = parameters
        self.table = table or table_of(parameters)
        self.cells = cells
        rng = np.random.default_rng([seed, 0xCE115])
        spread = parameters.spread

        def deviations(sigma: float) -> NDArray[np.float32]:
            # Drawn even where sigma is 0, so that one spread does not change the others.
            return (sigma * _truncated_normal(rng, cells)).astype(np.float32)

        self.critical_voltage = 1 + deviations(spread.critical_voltage)
        self.in_plane = 1 + deviations(spread.in_plane_field if parameters.field.in_plane else 0.0)
        self.stability = 1 + deviations(spread.thermal_stability)
        self.stray_field = deviations(spread.stray_field)
        self.parallel = 1 + deviations(spread.resistance)
        self.tmr = 1 + deviations(spread.tmr)
        self.offset = 1 + deviations(parameters.readout.comparator_offset)
        self._endurance = (-np.log(rng.random(cells))) ** (1 / parameters.breakdown.shape)
        self._damage = np.zeros(cells, np.float32)
        self._broken = np.zeros(cells, bool)
        self.drift = Drift(parameters, cells, seed)
        kept = lru_cache(_MOST_ESCAPES) if cells <= _KEPT_CELLS else lambda rates: rates
        self._escapes: Callable[[float, float, bool, float], EscapeRates] = kept(self._escape_rates)

    @classmethod
    @takes(cells=Count(1), seed=Count())
    def of(cls, device: str | Path, cells: int, seed: int) -> Self:
        """Cells of a shipped set (`A`, `B`, `C`, `D`) or of a device file."""
        return cls(load_device(device), cells, seed)

    @property
    def broken(self) -> NDArray[np.bool_]:
        """Cells whose barrier has broken down."""
        return self._broken.copy()

    @property
    def temperature_offset(self) -> float:
        """Kelvin by which the array is warmer than it is set to at present."""
        return self.drift.temperature

    @takes(width=Reals(), temperature=Real(above=0), field=Real())
    def switching_probability(
        self, voltage: Floats, width: Floats | float, temperature: float, field: float, antiparallel: bool
    ) -> Floats:
        """Probability that one pulse flips each cell (see `mock_hw.Device`); raises DeviceError off the table."""
        pulsed = (voltage != 0) & ~self._broken
        on = slice(None) if pulsed.all() else np.flatnonzero(pulsed)
        s = self.in_plane[on].astype(np.float64)
        nominal = voltage / (self.critical_voltage * (1.0 + self.drift.critical_voltage))
        out = np.zeros(self.cells)
        out[on] = self.table.probability(
            int(antiparallel),
            self.stability[on] / s,
            (temperature + self.drift.temperature) / s,
            (self.stray_field[on] + field) / s,
            nominal[on],
            np.broadcast_to(width, self.cells)[on] * s,
        )
        return out

    @takes(temperature=Real(above=0), field=Real(), voltage=Real())
    def retention_rate(
        self,
        temperature: float,
        field: float,
        antiparallel: bool,
        *,
        powered: bool = True,
        voltage: float = 0.0,
    ) -> Floats:
        """Rate in 1/s at which each cell leaves a state under a constant `voltage`, through its anisotropy alone.

        Without power there is no applied field.
        """
        rates = self._escapes(1.0 if powered else 0.0, field, antiparallel, voltage)
        return rates(temperature + self.drift.temperature)

    def _escape_rates(self, on: float, field: float, antiparallel: bool, voltage: float) -> EscapeRates:
        p = self.parameters
        z = self.stray_field + on * field + p.field.out_of_plane
        left = 1.0
        if p.free_layer.vcma and voltage:
            left = np.maximum(1 - voltage / (p.critical_voltage * self.critical_voltage), 1e-3)
        return EscapeRates(
            p.anisotropy_field * self.stability * left,
            on * p.field.in_plane * self.in_plane,
            -z if antiparallel else z,
            p.moment,
            p.free_layer.damping,
        )

    @takes(voltage=Real(), temperature=Real(above=0), relaxed=Real(0, infinite=True), settle=Real(above=0))
    def resistances(
        self, voltage: float, temperature: float, relaxed: float, settle: float
    ) -> tuple[Floats, Floats]:
        """What each cell reads in P and in AP, ohms, `relaxed` seconds after a pulse and `settle` after the voltage.

        The mean of m_z in a well is that of its stationary point and Gaussian fluctuations about it; it is reached
        with the relaxation time of the free layer.
        """
        p, warm = self.parameters, temperature + self.drift.temperature
        k = p.anisotropy_field * self.stability.astype(np.float64)
        h = np.minimum(p.field.in_plane * self.in_plane / k, 0.999)
        thermal = BOLTZMANN * warm / p.moment
        inside = 1 - thermal / 2 * (1 / (k * (1 - h * h)) + 1 / k)
        mean = np.sqrt(1 - h * h) * np.clip(inside, 0, 1)
        decay = (1 - h * h / 2) / p.relaxation_time
        mean = mean * -np.expm1(-relaxed * decay)
        factor = 1.0 + self.drift.resistance
        both = []
        for sign in (1, -1):
            r = _readout.resistance(
                p, sign * mean, voltage=voltage, temperature=warm, parallel=self.parallel, tmr=self.tmr
            )
            r = np.where(self._broken, _BROKEN, r * factor)
            both.append(_readout.settled(r, settle, p.readout.line_capacitance))
        return both[0], both[1]

    @takes(voltage=Real(), settle=Real(above=0), temperature=Real(above=0))
    def read_noise(self, resistance: Floats, voltage: float, settle: float, temperature: float) -> Floats:
        """Standard deviation of one reading in ohms."""
        amperes = _readout.current_noise(self.parameters, resistance, voltage, settle, temperature)
        return resistance**2 * amperes / max(abs(voltage), 1e-9)

    def compared(self, thresholds: Floats) -> Floats:
        """The thresholds at which the comparators really decide: each has an offset of its own."""
        return thresholds * self.offset

    def converted(self, readings: Floats) -> Floats:
        """Readings as the converter gives them."""
        return _readout.convert(self.parameters, readings)

    @takes(seconds=Real())
    def advance(self, seconds: float) -> None:
        """Let drift and slow noise go on for `seconds`."""
        self.drift.advance(seconds)

    @takes(pulses=Count())
    def wear(self, pulses: int, voltage: Floats) -> None:
        """Count `pulses` at `voltage` volts (cells,) towards the breakdown of each barrier."""
        law = self.parameters.breakdown
        with np.errstate(over="ignore"):
            self._damage += pulses / law.endurance * (np.abs(voltage) / law.reference) ** law.exponent
        self._broken |= self._damage >= self._endurance

    def save(self) -> dict[str, NDArray]:
        """What outlives a restart: drift, wear, and whose they are."""
        return {
            "device": np.array(self.parameters.digest),
            "damage": self._damage,
            "broken": self._broken,
            **self.drift.save(),
        }

    def load(self, saved: Mapping[str, NDArray]) -> None:
        """Take over what `save` gave; raises ValueError where it is of another device."""
        if str(saved["device"]) != self.parameters.digest:
            raise ValueError(f"it is of another device than {self.parameters.name!r}")
        self.drift.load(saved)
        self._damage[:], self._broken[:] = saved["damage"], saved["broken"]


def _truncated_normal(rng: np.random.Generator, count: int) -> Floats:
    values = rng.standard_normal(count)
    while (outside := np.abs(values) > CUT).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values
