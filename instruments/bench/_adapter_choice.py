"""Which adapter each box of a bench file has: the one that its role names, or ours for its driver."""

from pathlib import Path
from typing import Any

from pymeasure.instruments import Instrument

import drivers

from .._errors import BenchError
from ._classic_roles import ADAPTERS, adapter_of, drives
from ._file import BenchFile, FieldSection, RoleSection
from ._own_code import OwnClass, is_own, own_class
from ._signal_path import SignalPath
from .adapters import Adapter, Junction, JunctionLimits, MagnetSettings

_PARTS = ("driver", "models", "unseen", "terminations", "check", "output_is_on", "look", "off", "prepare")


class AdapterChoice:
    """Classes and adapters of the instruments of a bench file; `source` is that file."""

    def __init__(self, file: BenchFile, source: str) -> None:
        self._file, self._source = file, source
        self._junction: Junction | None = None  # one for all roles, so that each counts the others

    def driver(self, instrument: str) -> type[Instrument]:
        """Give the class that opens an instrument; raises BenchError where there is none."""
        own, name = self.own_driver(instrument), self._file.instruments[instrument].driver
        if own is not None:
            return own.found
        try:
            return drivers.resolve(name)
        except drivers.UnknownDriver as error:
            raise BenchError(f"{self._source}, key 'instruments.{instrument}.driver': {error}") from error

    def own_driver(self, instrument: str) -> OwnClass | None:
        """Give the class of the user's own that opens an instrument, or None; raises BenchError where it is none."""
        name = self._file.instruments[instrument].driver
        if not is_own(name):
            return None
        own = self._own(name, f"instruments.{instrument}.driver")
        if not issubclass(own.found, Instrument):
            raise BenchError(
                f"{self._source}, key 'instruments.{instrument}.driver': {name!r} is no pymeasure Instrument, so it "
                "cannot drive anything"
            )
        return own

    def of(self, instrument: str) -> type[Adapter] | None:
        """Give the adapter of an instrument, or None where nothing is known of its driver."""
        for role in self._file.roles_of(instrument):
            if (own := self.own_adapter(role)) is not None:
                return own.found
        return adapter_of(self._file.instruments[instrument].driver)

    def own_adapter(self, role: str) -> OwnClass | None:
        """Give the adapter that a role names, or None; raises BenchError where it is none."""
        name = self._file.roles.given()[role].adapter
        if not name:
            return None
        own = self._own(name, f"roles.{role}.adapter")
        missing = [part for part in _PARTS if not hasattr(own.found, part)]
        if missing:
            raise BenchError(
                f"{self._source}, key 'roles.{role}.adapter': {name!r} is no adapter, it lacks {', '.join(missing)}"
            )
        return own

    def make(self, role: str, instrument: Instrument) -> Any:
        """Make the adapter of a role over its instrument; raises BenchError where there is none for it."""
        section, limits = self._file.roles.given()[role], self._file.limits
        adapter = self._choose(role, instrument)
        if isinstance(section, RoleSection):
            path = signal_path(section, self._file.array.resistance)
            return adapter(instrument, path, self.junction())
        if isinstance(section, FieldSection):
            assert limits.field is not None  # which the file has checked
            magnet = MagnetSettings(section.field_per_ampere, section.ramp, limits.field, section.voltage)
            return adapter(instrument, magnet)
        return adapter(instrument)

    def _choose(self, role: str, instrument: Instrument) -> Any:
        if (own := self.own_adapter(role)) is not None:
            return own.found
        driver, known = type(instrument).__name__, ADAPTERS[role]
        adapter = next((each for each in known if drives(each, driver)), None)
        if adapter is None:
            raise BenchError(
                f"the role '{role}' in {self._source} has no adapter for {driver}, which drives "
                f"[instruments.{self._file.roles.given()[role].instrument}]: give it "
                f"{' or '.join(each.driver for each in known)}, or an adapter of your own"
            )
        return adapter

    def _own(self, name: str, key: str) -> OwnClass:
        try:
            return own_class(name, Path(self._source).parent)
        except BenchError as error:
            raise BenchError(f"{self._source}, key '{key}': {error}") from error

    def junction(self) -> Junction:
        """Give the one junction that all adapters share."""
        limits = self._file.limits
        assert limits.current is not None  # which the file has checked
        self._junction = self._junction or Junction(
            JunctionLimits(
                limits.pulse_voltage, limits.pulse_width, limits.read_voltage, limits.current, limits.duty
            )
        )
        return self._junction


def signal_path(section: RoleSection, load: float) -> SignalPath:
    """Give the path of a role to devices of `load` ohms."""
    return SignalPath(
        section.source_impedance, section.assumed_load, section.attenuation, section.overshoot, load
    )
