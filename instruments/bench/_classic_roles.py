"""The roles of a bench that has no board: a pulse source and a readout at one junction, each over its adapter."""

from typing import Any, ClassVar

from ._role import SafeStep
from .adapters import Adapter, Agilent33500Source, Keithley2400Readout, is_model

ADAPTERS = {"pulse_source": (Agilent33500Source,), "readout": (Keithley2400Readout,)}


def drives(adapter: type[Adapter], driver: str) -> bool:
    """Say whether an adapter is for a class of this name."""
    return adapter.driver.rpartition(".")[2] == driver.rpartition(".")[2]


def models_of(driver: str) -> tuple[str, ...]:
    """Give the models that a driver's adapter expects; none where it has no adapter."""
    known = (adapter for adapters in ADAPTERS.values() for adapter in adapters)
    return next((adapter.models for adapter in known if drives(adapter, driver)), ())


def is_expected(identity: str, driver: str) -> bool:
    """Say whether a box with this answer to `*IDN?` is one for a driver, as far as that is known."""
    models = models_of(driver)
    return not models or is_model(identity, models)


class ClassicRole:
    """A box of a role over its adapter; its safe state is output off and all settings reset, read back."""

    safe_step: ClassVar[SafeStep] = SafeStep.OUTPUTS

    def __init__(self, adapter: Adapter, *, instrument: str) -> None:
        self.adapter, self.instrument, self.prepared = adapter, instrument, False

    def prepare(self) -> None:
        """Refuse another box, and have the right one off; limits are kept by the adapter at each setting."""
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


class PulseSourceRole(ClassicRole):
    """A pulse generator: made safe first."""

    safe_step: ClassVar[SafeStep] = SafeStep.PULSES


class ReadoutRole(ClassicRole):
    """A source-meter: made safe when no pulse comes any more."""

    safe_step: ClassVar[SafeStep] = SafeStep.READ_VOLTAGE
