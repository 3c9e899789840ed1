"""Opening the instruments of a bench file: each must be who the file says, and speak a version that is known."""

import contextlib
from dataclasses import dataclass
from typing import Any

from pymeasure.instruments import Instrument

import drivers
from drivers import ArrayBoard, BoardError

from .._errors import BenchError
from ._adapter_choice import AdapterChoice, signal_path
from ._board_role import BoardRole
from ._classic_roles import (
    ADAPTERS,
    FieldRole,
    GaussmeterRole,
    PulseSourceRole,
    ReadoutRole,
)
from ._file import BenchFile, RoleSection
from ._resource import unreachable
from ._role import Role
from ._wire_log import WireLog
from .adapters import is_model

_PROTOCOL = "1"
_CLASSIC = {
    "pulse_source": PulseSourceRole, "readout": ReadoutRole, "field": FieldRole, "gaussmeter": GaussmeterRole
}  # fmt: skip
ROLES = {"board": BoardRole, **_CLASSIC}
GUARDED = _CLASSIC.keys()  # a board has a watchdog of its own


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
        self._adapters = AdapterChoice(file, source)

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
                identity = self._identity(name, instrument)
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
        driver: Any = self._adapters.driver(name)
        adapter = self._adapters.of(name)
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
        if name in ADAPTERS:
            parts = [self._adapters.make(name, instrument)]
            if isinstance(section, RoleSection):
                parts += signal_path(section, file.array.resistance), self._adapters.junction()
            return _CLASSIC[name](*parts, instrument=section.instrument)
        assert isinstance(section, RoleSection)  # that of a board
        if not isinstance(instrument, ArrayBoard):
            raise BenchError(
                f"the role '{name}' in {self.source} needs an ArrayBoard, and "
                f"[instruments.{section.instrument}] is driven by {type(instrument).__name__}"
            )
        return BoardRole(
            instrument, signal_path(section, file.array.resistance), file.limits, file.array, source=self.source,
            instrument=section.instrument,
        )  # fmt: skip

    def own_code(self, name: str) -> list[str]:
        """Say which files of the user's an instrument runs; raises BenchError where one of them cannot be."""
        adapters = (self._adapters.own_adapter(role) for role in self.file.roles_of(name))
        return [str(each) for each in (self._adapters.own_driver(name), *adapters) if each is not None]

    def refuse_instruments_without_role(self) -> None:
        """Raise BenchError where the file has an instrument that leaving the bench would not make safe."""
        names = self.file.without_role
        if names:
            listed = ", ".join(f"[instruments.{name}]" for name in names)
            raise BenchError(
                f"{self.source}: {listed} {'has' if len(names) == 1 else 'have'} no role, so leaving the bench would "
                "not make it safe: give it a role, or take it out of the file"
            )

    def _identity(self, name: str, instrument: Instrument) -> str:
        try:
            asks = self._adapters.of(name) is not None  # some of pymeasure's classes do not
            return str(instrument.ask("*IDN?") if asks else instrument.id).strip()
        except BoardError:
            raise
        except Exception as error:
            raise BenchError(f"the {name!r} does not say who it is: {error}") from error

    def _mistaken(self, name: str, instrument: Instrument, identity: str) -> str | None:
        """Say what is wrong with an instrument's identity, or None."""
        section = self.file.instruments[name]
        expected = type(instrument) in {entry.driver for entry in drivers.known}
        other = expected and drivers.identify(identity) is not type(instrument)
        adapter = self._adapters.of(name)
        if other or (adapter is not None and not is_model(identity, adapter.models)):
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
