"""The parameters of a simulated ME-MTJ cell: a TOML file, checked, and the numbers that follow from it."""

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mock_hw._arguments import Real, takes
from mock_hw._toml import Strict, message_of, read_toml
from mock_hw.physics._constants import BOLTZMANN, ELECTRON, GAMMA, HBAR, MU_0
from mock_hw.physics._fokker_planck import Macrospin

SHIPPED = Path(__file__).parents[1] / "devices"
REFERENCE_TEMPERATURE = 300.0
_DRIFTS = 6  # standard deviations of the temperature's drift that must fit into the table
CUT = 2.5  # spreads are Gaussian, cut at this many standard deviations

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=0.2)]


class DeviceError(ValueError):
    """A device cannot be had or cannot do what is asked; the message is one sentence."""


class Junction(Strict):
    """`[junction]`: geometry in metres, RA in ohm m², TMR as a fraction, volts, 1/V², 1/K."""

    diameter: Annotated[float, Field(ge=5e-9, le=1e-6)]
    barrier_thickness: Annotated[float, Field(ge=0.3e-9, le=10e-9)]
    resistance_area: Annotated[float, Field(ge=1e-14, le=1e-6)]
    tmr: Annotated[float, Field(gt=0, le=20)]
    tmr_half_voltage: Positive
    resistance_curvature: NotNegative = 0.0
    resistance_per_kelvin: Finite = 0.0
    tmr_per_kelvin: Finite = 0.0


class FreeLayer(Strict):
    """`[free_layer]`: metres, A/m, demagnetising factors along x, y, z, Δ at 300 K, J/(V m), spin polarisation."""

    thickness: Annotated[float, Field(ge=0.2e-9, le=20e-9)]
    magnetisation: Annotated[float, Field(ge=1e4, le=3e6)]
    damping: Annotated[float, Field(ge=1e-4, le=1)]
    demagnetisation: tuple[NotNegative, NotNegative, NotNegative]
    thermal_stability: Annotated[float, Field(ge=2, le=200)]
    vcma: NotNegative = 0.0
    spin_torque: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> "FreeLayer":
        if abs(sum(self.demagnetisation) - 1) > 0.01:
            raise ValueError("the three demagnetising factors must add up to 1")
        if self.vcma == self.spin_torque == 0:
            raise ValueError("a voltage does nothing: give vcma or spin_torque")
        return self


class AppliedField(Strict):
    """`[field]`: tesla. The in-plane field is there while the lab has power; the other one is the stack's own."""

    in_plane: Annotated[float, Field(ge=0, le=1)] = 0.0
    out_of_plane: Annotated[float, Field(ge=-0.1, le=0.1)] = 0.0


class Pulse(Strict):
    """`[pulse]`: linear rise and fall times of the pulse source in seconds."""

    rise: NotNegative = 0.0
    fall: NotNegative = 0.0


class Readout(Strict):
    """`[readout]`: what stands between the junction's resistance and a reading.

    A/√Hz, farads; `flicker` the relative rms of R per decade of frequency; `telegraph_…` the fraction of cells with
    random telegraph noise, its relative step of R and switching rate in 1/s; comparator offset as relative rms of the
    threshold; converter bits over `converter_range` ohms.
    """

    amplifier_noise: NotNegative
    line_capacitance: NotNegative = 0.0
    flicker: Fraction = 0.0
    telegraph_cells: Annotated[float, Field(ge=0, le=1)] = 0.0
    telegraph_step: Fraction = 0.0
    telegraph_rate: Positive = 1.0
    comparator_offset: Fraction = 0.0
    converter_bits: Annotated[int, Field(ge=4, le=24)] = 16
    converter_range: Positive = 1e6


class Spread(Strict):
    """`[spread]`: relative standard deviations from cell to cell; `stray_field` in tesla."""

    thermal_stability: Annotated[float, Field(ge=0, le=0.06)] = 0.0
    in_plane_field: Annotated[float, Field(ge=0, le=0.03)] = 0.0
    critical_voltage: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    stray_field: Annotated[float, Field(ge=0, le=2e-3)] = 0.0
    resistance: Fraction = 0.0
    tmr: Fraction = 0.0


class Drift(Strict):
    """`[drift]`: temperature an Ornstein-Uhlenbeck process (kelvin rms, seconds); V_c 1/f, relative rms per decade."""

    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    temperature_time: Positive = 600.0
    critical_voltage: Annotated[float, Field(ge=0, le=0.005)] = 0.0


class Breakdown(Strict):
    """`[breakdown]`: Weibull law of the barrier, F(N) = 1 − exp(−(N / N₀)^shape).

    N₀ = endurance (reference / V)^exponent, `endurance` in pulses at the `reference` voltage in volts.
    """

    endurance: Positive = 1e12
    reference: Positive = 1.5
    exponent: Annotated[float, Field(ge=1, le=200)] = 40.0
    shape: Annotated[float, Field(ge=0.2, le=10)] = 1.5


class WorkingPoint(Strict):
    """`[working_point]`: pulses at which a nominal cell is a coin; volts and seconds. Advice, no more."""

    mode: Literal["reset", "toggle"]
    voltage: Finite
    width: Positive
    period: Annotated[float, Field(ge=6e-9, allow_inf_nan=False)] = 6e-9
    reset_voltage: Finite = 0.0
    reset_width: Positive | None = None
    read_voltage: Finite = 0.1


class TableAxes(Strict):
    """`[table]`: where P_sw is tabulated: volts and seconds as low, high, step; kelvin and tesla (±) as ranges."""

    voltage: tuple[Finite, Finite, Positive]
    width: tuple[Finite, Finite, Positive]
    temperature: tuple[Positive, Positive] = (270.0, 360.0)
    field: Annotated[float, Field(gt=0, le=0.05)] = 2e-3

    @model_validator(mode="after")
    def _ordered(self) -> "TableAxes":
        for name in ("voltage", "width"):
            low, high, step = getattr(self, name)
            if not (high - low) / step >= 4:
                raise ValueError(f"{name} = [low, high, step] needs at least five points")
            if (high - low) / step > 400:
                raise ValueError(f"{name} = [low, high, step] has more than 400 points")
        if not 100 <= self.temperature[0] < self.temperature[1] <= 600:
            raise ValueError("temperature = [low, high] must rise within 100 to 600 K")
        return self


class DeviceParameters(Strict):
    """One kind of cell: everything that a device file says."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    source: Annotated[str, Field(min_length=1)]
    junction: Junction
    free_layer: FreeLayer
    field: AppliedField = AppliedField()
    pulse: Pulse = Pulse()
    readout: Readout
    spread: Spread = Spread()
    drift: Drift = Drift()
    breakdown: Breakdown = Breakdown()
    working_point: WorkingPoint | None = None
    table: TableAxes

    @model_validator(mode="after")
    def _within(self) -> "DeviceParameters":
        if self.anisotropy_field <= self.field.in_plane:
            raise ValueError(
                f"field.in_plane = {self.field.in_plane:g} T is not below the anisotropy field of "
                f"{self.anisotropy_field:.3g} T: the free layer has one state only"
            )
        shortest = (self.pulse.rise + self.pulse.fall) / 2
        if self.table.width[0] < shortest:
            raise ValueError(f"table.width begins below (rise + fall) / 2 = {shortest:g} s")
        if self.table.voltage[1] <= 0 or self.table.voltage[0] >= self.critical_voltage:
            raise ValueError(
                f"table.voltage must reach from below the critical voltage, {self.critical_voltage:.3g} V, to above 0"
            )
        low = self.table.voltage[0]
        if self.free_layer.spin_torque > 0 and low > -self.table.voltage[1] * 0.999:
            raise ValueError("with spin torque the sign of a pulse matters: let table.voltage begin at -high")
        return self

    # --- what follows from them ---

    @property
    def area(self) -> float:
        """Area of the junction in m²."""
        return math.pi / 4 * self.junction.diameter**2

    @property
    def moment(self) -> float:
        """Magnetic moment of the free layer in A m²."""
        return self.free_layer.magnetisation * self.area * self.free_layer.thickness

    @property
    def anisotropy_field(self) -> float:
        """B_k = 2 K_eff / M_s in tesla, from Δ = K_eff · volume / k_B T at 300 K."""
        return 2 * self.free_layer.thermal_stability * BOLTZMANN * REFERENCE_TEMPERATURE / self.moment

    @property
    def effective_stability(self) -> float:
        """Δ (1 − B_x / B_k)²: the barrier over k_B T at 300 K in the in-plane field."""
        return self.free_layer.thermal_stability * (1 - self.field.in_plane / self.anisotropy_field) ** 2

    @property
    def anisotropy_per_volt(self) -> float:
        """dB/dV = −2 ξ / (t_ox t_free M_s) in T/V."""
        layer = self.free_layer
        return -2 * layer.vcma / (self.junction.barrier_thickness * layer.thickness * layer.magnetisation)

    @property
    def torque_per_volt(self) -> float:
        """Spin torque field over voltage, ħ η / (2 e M_s t RA), in T/V; positive volts drive P to AP."""
        layer = self.free_layer
        volts = 2 * ELECTRON * layer.magnetisation * layer.thickness * self.junction.resistance_area
        return -HBAR * layer.spin_torque / volts

    @property
    def critical_voltage(self) -> float:
        """Volts at which the anisotropy vanishes or, for pure spin torque, the state loses its stability."""
        if self.free_layer.vcma:
            return -self.anisotropy_field / self.anisotropy_per_volt
        return self.free_layer.damping * self.anisotropy_field / abs(self.torque_per_volt)

    @property
    def relaxation_time(self) -> float:
        """Seconds in which a tilt of the free layer decays by e without voltage."""
        a = self.free_layer.damping
        return (1 + a * a) / (a * GAMMA * self.anisotropy_field)

    @property
    def settle(self) -> float:
        """Seconds after a pulse at which its outcome is decided: 6 ns, the shortest period of a board."""
        return 6e-9

    @property
    def resistance_parallel(self) -> float:
        """R_P at low voltage and 300 K in ohms."""
        return self.junction.resistance_area / self.area

    @takes(temperature=Real(0), out_of_plane=Real(), anisotropy=Real(), in_plane=Real())
    def macrospin(
        self,
        *,
        temperature: float = REFERENCE_TEMPERATURE,
        out_of_plane: float = 0.0,
        anisotropy: float = 1.0,
        in_plane: float = 1.0,
        powered: bool = True,
    ) -> Macrospin:
        """The free layer at `temperature` in kelvin with `out_of_plane` tesla on top of the file's own field.

        `anisotropy` and `in_plane` are factors on B_k (its critical voltage unchanged) and on the in-plane field;
        without power there is no in-plane field.
        """
        layer, on = self.free_layer, 1.0 if powered else 0.0
        x, y, z = (factor * MU_0 * layer.magnetisation for factor in layer.demagnetisation)
        return Macrospin(
            anisotropy=self.anisotropy_field * anisotropy + z - (x + y) / 2,
            demagnetisation=(x, y, z),
            applied=(on * self.field.in_plane * in_plane, 0.0, self.field.out_of_plane + out_of_plane),
            moment=self.moment,
            damping=layer.damping,
            temperature=temperature,
            anisotropy_per_volt=self.anisotropy_per_volt * anisotropy,
            torque_per_volt=self.torque_per_volt * anisotropy,
        )

    @property
    def anisotropy_range(self) -> tuple[float, float]:
        """Smallest and largest relative B_k of a cell, in a frame in which its in-plane field is the nominal one.

        A cell whose in-plane field is s times the nominal one is a nominal cell with every other field divided by s and
        every time multiplied by s; so both spreads count.
        """
        stability, field = (
            CUT * max(sigma, 1e-3) for sigma in (self.spread.thermal_stability, self.spread.in_plane_field)
        )
        return 0.999 * (1 - stability) / (1 + field), 1.001 * (1 + stability) / (1 - field)

    def temperatures(self) -> tuple[float, float]:
        """Lowest and highest temperature in kelvin to which an array may be set: its drift needs some room."""
        low, high = self.table.temperature
        margin = _DRIFTS * self.drift.temperature
        # In the frame of a cell's own in-plane field temperatures scale with it.
        field = CUT * self.spread.in_plane_field if self.field.in_plane else 0.0
        return low * (1 + field) + margin, high * (1 - field) - margin

    def limits(self) -> tuple[float, float]:
        """Largest pulse in volts and seconds for which every cell is within the table."""
        high, critical = self.table.voltage[1], self.critical_voltage
        if self.free_layer.vcma and high > critical:
            high = critical * (1 + (high / critical - 1) / self.anisotropy_range[1])
        volts = high * (1 - CUT * self.spread.critical_voltage - 20 * self.drift.critical_voltage)
        seconds = self.table.width[1] * (1 - CUT * self.spread.in_plane_field)
        return math.floor(volts * 50) / 50, float(f"{seconds * 0.999:.2g}")

    @property
    def digest(self) -> str:
        """SHA-256 of everything that P_sw depends on."""
        junction = {"diameter", "barrier_thickness", "resistance_area"}
        physics = self.model_dump(
            include={"junction": junction, "free_layer": True, "field": True, "pulse": True, "table": True}
        )
        physics["anisotropy_range"] = self.anisotropy_range
        return hashlib.sha256(json.dumps(physics, sort_keys=True).encode()).hexdigest()

    def describe(self) -> list[tuple[str, str]]:
        """The main numbers as (name, value with unit)."""
        volts, width = self.limits()
        layer, field = self.free_layer, self.field.in_plane
        rows = [
            ("set", self.name),
            ("source", self.source),
            ("diameter", f"{self.junction.diameter * 1e9:.4g} nm"),
            ("free layer", f"{layer.thickness * 1e9:.4g} nm, M_s {layer.magnetisation / 1e6:.4g} MA/m, "
             f"α {layer.damping:g}"),
            ("thermal stability Δ at 300 K", f"{layer.thermal_stability:.4g}"),
            ("Δ in the applied field", f"{self.effective_stability:.3g}"),
            ("anisotropy field B_k", f"{self.anisotropy_field * 1e3:.4g} mT"),
            ("in-plane field B_x", f"{field * 1e3:.4g} mT"),
            ("critical voltage V_c", f"{self.critical_voltage:.4g} V"),
            ("VCMA ξ", f"{layer.vcma * 1e15:.4g} fJ/(V m)"),
            ("spin torque efficiency", f"{layer.spin_torque:g}"),
            ("R_P, R_AP at low voltage", f"{self.resistance_parallel / 1e3:.4g} kΩ, "
             f"{self.resistance_parallel * (1 + self.junction.tmr) / 1e3:.4g} kΩ"),
            ("TMR, V_h", f"{self.junction.tmr * 100:.4g} %, {self.junction.tmr_half_voltage:.3g} V"),
            ("relaxation time", f"{self.relaxation_time * 1e9:.3g} ns"),
            ("largest pulse of the model", f"{volts:g} V, {width * 1e9:.3g} ns"),
        ]  # fmt: skip
        if (point := self.working_point) is not None:
            said = f"{point.mode}, {point.voltage:g} V, {point.width * 1e9:.4g} ns"
            if point.mode == "reset":
                said += f", reset {point.reset_voltage:g} V, {(point.reset_width or 0) * 1e9:.4g} ns"
            rows.append(("a coin at", said))
        if field:
            rows.insert(9, ("half period π/(γ B_x)", f"{math.pi / (GAMMA * field) * 1e9:.4g} ns"))
        return rows


def load_device(name_or_path: str | Path) -> DeviceParameters:
    """A shipped set by its name (`A`, `B`, `C`, `D`) or a TOML file; raises DeviceError naming file and key."""
    path = Path(name_or_path)
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.toml"))}
    if str(name_or_path) in shipped:
        path = shipped[str(name_or_path)]
    elif not path.suffix and not path.exists():
        raise DeviceError(
            f"there is no device {str(name_or_path)!r}: name one of {', '.join(shipped)} or a TOML file"
        )
    return read_toml(path, "device file", DeviceParameters, DeviceError, _say, _tuples)


def _tuples(value: Any) -> Any:
    """Turn lists into tuples, and whole numbers in them into floats: strict validation wants what it declares."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(float(item) if type(item) is int else item for item in value)
    return value


def _say(details: Any) -> str:
    if details["type"] == "extra_forbidden":
        return "there is no such key"
    bounds = details.get("ctx", {})
    for key, word in (("le", "at most"), ("gt", "above"), ("ge", "at least")):
        if key in bounds:
            return f"{details['input']:g} is wrong, it must be {word} {bounds[key]:g}"
    return message_of(details)
