"""Opening the instruments of a bench file: each must be who the file says, and speak a version that is known."""

import contextlib
from dataclasses import dataclass
from typing import Any

from pymeasure.instruments import Instrument

import drivers
from drivers import ArrayBoard, BoardError

from .._errors import BenchError
from ._board_role import BoardRole
from ._classic_roles import (
    ADAPTERS,
    FieldRole,
    GaussmeterRole,
    PulseSourceRole,
    ReadoutRole,
    adapter_of,
    drives,
    is_expected,
)
from ._file import BenchFile, FieldSection, RoleSection
from ._resource import unreachable
from ._role import Role
from ._signal_path import SignalPath
from ._wire_log import WireLog
from .adapters import Junction, JunctionLimits, MagnetSettings

_PROTOCOL = "1"
_CLASSIC = {
    "pulse_source": PulseSourceRole, "readout": ReadoutRole, "field": FieldRole, "gaussmeter": GaussmeterRole
}  # fmt: skip
ROLES = {"board": BoardRole, **_CLASSIC}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `subject` is well (`ok`) or not, and `detail` says why."""

    instrument: str
    resource: str
    subject: str
    ok: bool
    detail: str


class Opening:
    """Opens what a bench file names; `source` is the file, for what is raised; `wire_log` gets what passes."""

    def __init__(self, file: BenchFile, source: str, wire_log: WireLog | None = None) -> None:
        self.file = file
        self.source = source
        self.wire_log = wire_log
        self._junction: Junction | None = None  # one for all roles, so that each counts the others

    def open(self, name: str, findings: list[Finding] | None = None) -> tuple[Instrument, str]:
        """Open an instrument and ask who it is; gives it and its identity.

        What is found goes to `findings` where it is given. Raises BenchError where it is another, or not reached.
        """
        resource = self.file.instruments[name].resource

        def report(subject: str, ok: bool, detail: str) -> None:
            if findings is not None:
                findings.append(Finding(name, resource, subject, ok, detail))

        try:
            instrument = self.connect(name)
            try:
                identity = _identity(instrument)
            except BaseException:
                close(instrument)
                raise
        except BenchError as error:
            report("reachable", False, str(error))
            raise
        except Exception as error:  # drivers of others raise what they like
            why = unreachable(resource, error)
            report("reachable", False, why)
            raise BenchError(f"{self.source}, key 'instruments.{name}.resource': {why}") from error
        report("reachable", True, "answers")
        wrong = self._mistaken(name, instrument, identity)
        report("identity", wrong is None, wrong or identity)
        if wrong is None and (wrong := self._incompatible(name, instrument)):
            report("protocol", False, wrong)
        if wrong:
            close(instrument)
            raise BenchError(wrong)
        return instrument, identity

    def open_to_switch_off(self, name: str, findings: list[Finding]) -> Instrument | None:
        """Open an instrument, one that answers nothing or rubbish too, but none that says it is another."""
        try:
            return self.open(name, findings)[0]
        except BenchError:
            if findings[-1].subject == "identity":
                return None
        with contextlib.suppress(Exception):  # why it cannot be reached was said
            return self.connect(name)

    def connect(self, name: str) -> Instrument:
        """Open an instrument, whoever it is; raises what its driver raises."""
        section = self.file.instruments[name]
        try:
            driver: Any = drivers.resolve(section.driver)
        except drivers.UnknownDriver as error:
            raise BenchError(f"{self.source}, key 'instruments.{name}.driver': {error}") from error
        adapter = adapter_of(section.driver)
        lines = adapter.terminations if adapter and section.resource.upper().endswith("SOCKET") else {}
        options: dict[str, Any] = {"visa_library": self.file.bench.visa_library, **lines, **section.options}
        if self.wire_log is None:
            return driver(section.resource, name=name, **options)
        self.wire_log.note(name, "opened", section.resource, driver=section.driver)
        if driver is ArrayBoard:
            instrument = driver(section.resource, name=name, **options)
            instrument.overhear(self.wire_log.noting(name))
            return instrument
        options["visa_library"] = self.wire_log.library(name, options["visa_library"])
        return driver(section.resource, name=name, **options)

    def end_wire_log(self) -> None:
        """Have the wire log written, where there is one."""
        if self.wire_log is not None:
            self.wire_log.end()

    def role(self, name: str, instrument: Instrument) -> Role:
        """Make a role of the file over its instrument; raises BenchError where its driver does not serve."""
        section, file = self.file.roles.given()[name], self.file
        if not isinstance(section, RoleSection) or name in ADAPTERS:
            return _CLASSIC[name](self._adapter(name, instrument), instrument=section.instrument)
        if not isinstance(instrument, ArrayBoard):
            raise BenchError(
                f"the role '{name}' in {self.source} needs an ArrayBoard, and "
                f"[instruments.{section.instrument}] is driven by {type(instrument).__name__}"
            )
        return BoardRole(
            instrument, self._path(section), file.limits, file.array, source=self.source,
            instrument=section.instrument,
        )  # fmt: skip

    def _path(self, section: RoleSection) -> SignalPath:
        return SignalPath(
            section.source_impedance, section.assumed_load, section.attenuation, section.overshoot,
            self.file.array.resistance,
        )  # fmt: skip

    def _adapter(self, name: str, instrument: Instrument) -> Any:
        section, limits = self.file.roles.given()[name], self.file.limits
        driver = type(instrument).__name__
        adapter: Any = next((each for each in ADAPTERS[name] if drives(each, driver)), None)
        if adapter is None:
            raise BenchError(
                f"the role '{name}' in {self.source} has no adapter for {driver}, which drives "
                f"[instruments.{section.instrument}]: give it {' or '.join(each.driver for each in ADAPTERS[name])}"
            )
        if isinstance(section, RoleSection):
            return adapter(instrument, self._path(section), self._shared_junction())
        if isinstance(section, FieldSection):
            assert limits.field is not None  # which the file has checked
            return adapter(
                instrument,
                MagnetSettings(section.field_per_ampere, section.ramp, limits.field, section.voltage),
            )
        return adapter(instrument)

    def _shared_junction(self) -> Junction:
        limits = self.file.limits
        assert limits.current is not None  # which the file has checked
        self._junction = self._junction or Junction(
            JunctionLimits(
                limits.pulse_voltage, limits.pulse_width, limits.read_voltage, limits.current, limits.duty
            )
        )
        return self._junction

    def refuse_instruments_without_role(self) -> None:
        """Raise BenchError where the file has an instrument that leaving the bench would not make safe."""
        names = self.file.without_role
        if names:
            listed = ", ".join(f"[instruments.{name}]" for name in names)
            raise BenchError(
                f"{self.source}: {listed} {'has' if len(names) == 1 else 'have'} no role, so leaving the bench would "
                "not make it safe: give it a role, or take it out of the file"
            )

    def _mistaken(self, name: str, instrument: Instrument, identity: str) -> str | None:
        """Say what is wrong with an instrument's identity, or None."""
        section = self.file.instruments[name]
        expected = type(instrument) in {entry.driver for entry in drivers.known}
        other = expected and drivers.identify(identity) is not type(instrument)
        if other or not is_expected(identity, type(instrument).__name__):
            return (
                f"{section.resource} is no box for the driver {section.driver}: it says it is {identity!r}; "
                f"correct 'resource' or 'driver' of [instruments.{name}] in {self.source}"
            )
        return None

    def _incompatible(self, name: str, instrument: Instrument) -> str | None:
        """Say why this program cannot talk to an instrument, or None."""
        if not isinstance(instrument, ArrayBoard):
            return None
        try:
            protocol = str(instrument.protocol_version)
        except BoardError as error:
            return str(error)
        if protocol.split(".")[0] == _PROTOCOL:
            return None
        return (
            f"the {name!r} ({self.file.instruments[name].resource}) follows version {protocol} of the board's "
            f"protocol, and this program version {_PROTOCOL}: update one of them"
        )


def close(instrument: Instrument) -> None:
    """Close a connection, whatever becomes of that."""
    with contextlib.suppress(Exception):
        instrument.adapter.close()


def _identity(instrument: Instrument) -> str:
    try:
        classic = adapter_of(type(instrument).__name__)  # some of pymeasure's classes do not ask
        return str(instrument.ask("*IDN?") if classic else instrument.id).strip()
    except BoardError:
        raise
    except Exception as error:
        raise BenchError(f"the {instrument.name!r} does not say who it is: {error}") from error
