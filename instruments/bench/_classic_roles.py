"""The roles of boxes that are no board, each over its adapter: pulses, readings, the field and its reading."""

from typing import Any, ClassVar, Generic, TypeVar

from .._errors import BenchError
from ._role import SafeStep
from ._signal_path import SignalPath
from .adapters import (
    Adapter,
    Agilent33500Source,
    FieldSource,
    Gaussmeter,
    Junction,
    Keithley2400Readout,
    Keithley2450Readout,
    KepcoBOPSupply,
    Keysight81160ASource,
    LakeShore425Gaussmeter,
    PulseSource,
    Readout,
)

ADAPTERS: dict[str, tuple[type[Adapter], ...]] = {
    "pulse_source": (Agilent33500Source, Keysight81160ASource),
    "readout": (Keithley2400Readout, Keithley2450Readout),
    "field": (KepcoBOPSupply,),
    "gaussmeter": (LakeShore425Gaussmeter,),
}
_Box = TypeVar("_Box", PulseSource, Readout)
_FIELD, _FIELD_OFFSET = 0.05, 2e-4  # fraction and tesla (earth, remanence) by which a reading may differ


def drives(adapter: type[Adapter], driver: str) -> bool:
    """Say whether an adapter is for a class of this name."""
    return adapter.driver.rpartition(".")[2] == driver.rpartition(".")[2]


def adapter_of(driver: str) -> type[Adapter] | None:
    """Give a driver's adapter, or None where it has none."""
    known = (adapter for adapters in ADAPTERS.values() for adapter in adapters)
    return next((adapter for adapter in known if drives(adapter, driver)), None)


def is_simulated(identity: str) -> bool:
    """Say whether a box that answers `*IDN?` so is one of the simulated lab (docs/simulated-instruments.md)."""
    return identity.split(",")[-1].strip().startswith("SIM-")


class ClassicRole:
    """A box of a role over its adapter; its safe state is output off and all settings reset, read back."""

    safe_step: ClassVar[SafeStep] = SafeStep.OUTPUTS
    safe_words: ClassVar[str] = "off, confirmed by the box"
    where_silent: ClassVar[str] = "it has no watchdog, so switch it off by hand"

    def __init__(self, adapter: Adapter, *, instrument: str) -> None:
        self.adapter, self.instrument, self.prepared = adapter, instrument, False

    def prepare(self) -> None:
        """Refuse another box, and one whose output is on; limits are kept by the adapter at each setting."""
        if self.adapter.output_is_on():
            raise BenchError(
                f"the output of the {self.instrument!r} is on, so another program uses it, or has left it on: let that "
                "one end, or switch off with 'memtj bench off'"
            )
        self.adapter.check()
        self.adapter.off()
        self.prepared = True

    def safe_state(self) -> bool:
        """Switch the output off and reset the box; raises BenchError where it does not confirm that."""
        self.adapter.off()
        return True

    def findings(self) -> list[tuple[str, bool, str]]:
        """Look at output and settings, changing nothing, and say what cannot be read back."""
        on = self.adapter.output_is_on()
        return [
            ("output", True, "on: in use by another program, or left on" if on else "off"),
            ("settings", True, self.adapter.look()),
            *(("not read back", True, each) for each in self.adapter.unseen),
        ]

    def snapshot(self) -> dict[str, Any]:
        """Say which box plays the role."""
        return {"instrument": self.instrument, "driver": self.adapter.driver}


class JunctionRole(ClassicRole, Generic[_Box]):
    """A box that puts volts across a junction; `path`: from it to the `junction`."""

    adapter: _Box

    def __init__(self, adapter: _Box, path: SignalPath, junction: Junction, *, instrument: str) -> None:
        super().__init__(adapter, instrument=instrument)
        self.path, self.junction = path, junction

    def peak(self, volts: float) -> float:
        """Give the magnitude of the largest volts at the device, overshoot included."""
        return abs(volts) * (1 + self.path.overshoot)

    def snapshot(self) -> dict[str, Any]:
        """Say which box plays the role, and the path from it to the junction."""
        return {**super().snapshot(), "path": self.path.plain()}


class PulseSourceRole(JunctionRole[PulseSource]):
    """A pulse generator: made safe first."""

    safe_step: ClassVar[SafeStep] = SafeStep.PULSES


class ReadoutRole(JunctionRole[Readout]):
    """A source-meter: made safe when no pulse comes any more."""

    safe_step: ClassVar[SafeStep] = SafeStep.READ_VOLTAGE


class FieldRole(ClassicRole):
    """A supply of a magnet: ramped down when nothing is pulsed and read any more; its output is on in a field alone."""

    safe_step: ClassVar[SafeStep] = SafeStep.FIELD
    safe_words: ClassVar[str] = "ramped down and off, confirmed by the box"

    def __init__(self, adapter: FieldSource, *, instrument: str) -> None:
        super().__init__(adapter, instrument=instrument)
        self._supply, self._on = adapter, False

    def set_field(self, field: float) -> float:
        """Ramp to so many tesla, and give those that the box measures; 0 with the output off, where it is."""
        if not self._on:
            if not field:
                return 0.0
            self._supply.prepare()
        self._on = False  # where it fails
        found = self._supply.set_field(field)
        self._on = True
        return found

    def safe_state(self) -> bool:
        """Ramp down, and switch the output off; raises BenchError where the box does not confirm that."""
        self._on = False
        return super().safe_state()


class GaussmeterRole(ClassicRole):
    """A gaussmeter, which has no output."""

    safe_words: ClassVar[str] = "it only reads: there is nothing to switch off"

    def __init__(self, adapter: Gaussmeter, *, instrument: str) -> None:
        super().__init__(adapter, instrument=instrument)
        self._gaussmeter = adapter

    def prepare(self) -> None:
        """Refuse another box, and have the right one read tesla."""
        self._gaussmeter.prepare()
        self.prepared = True

    def confirm(self, field: float) -> float:
        """Read the field, T; raises BenchError where it is not the one that was set."""
        found = self._gaussmeter.field()
        if not abs(found - field) <= _FIELD * abs(field) + _FIELD_OFFSET:
            raise BenchError(
                f"the {self.instrument!r} reads {found:g} T where {field:g} T were set: look at its probe and zero, at "
                "the supply, and at roles.field.field_per_ampere"
            )
        return found
