"""The bench: opens the instruments of a bench file, keeps the limits, and leaves everything safe."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

from pymeasure.instruments import Instrument

import drivers
from drivers import ArrayBoard, BoardError

from .._errors import BenchError, Terminated
from ._file import ArraySection, BenchFile, LimitsSection, read_bench_file
from ._resource import unreachable
from ._roles import BoardRole, Role, SignalPath

log = logging.getLogger(__name__)

_PROTOCOL = "1"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `subject` is well (`ok`) or not, and `detail` says why."""

    instrument: str
    resource: str
    subject: str
    ok: bool
    detail: str


class Bench:
    """The instruments of a bench file, in their roles; a context manager whose every exit is safe.

    Entering opens the instruments, checks who they are, and puts the limits into drivers and boxes before any
    output can be on. Leaving, by success, exception, Ctrl-C or SIGTERM, brings every role to its safe state,
    asks for confirmation, and closes the connections; that part never raises.
    """

    def __init__(self, file: BenchFile, source: str | os.PathLike[str]) -> None:
        self.file = file
        self.source = str(source)
        self.instruments: dict[str, Instrument] = {}
        self.roles: dict[str, Role] = {}
        self._identities: dict[str, str] = {}
        self._restore_handler: Any = None

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Read a bench file; raises BenchError naming file, line and key. Nothing is opened yet."""
        return cls(read_bench_file(path), Path(path))

    @property
    def array(self) -> ArraySection:
        """The devices, as the file describes them."""
        return self.file.array

    @property
    def limits(self) -> LimitsSection:
        """Absolute maxima at the device."""
        return self.file.limits

    @property
    def board(self) -> BoardRole:
        """The role of the board; raises BenchError while the bench is not entered."""
        role = self.roles.get("board")
        if not isinstance(role, BoardRole):
            raise BenchError(f"the bench of {self.source} is not open: use it in a 'with' statement")
        return role

    def __enter__(self) -> Self:
        self._refuse_instruments_without_role()
        self._catch_sigterm()
        try:
            for name in self.file.instruments:
                self.instruments[name] = self._open(name)
            for name in self.file.roles:
                self.roles[name] = self._role(name)
            for role in self.roles.values():
                role.prepare()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        interrupted = self._leave()
        if interrupted and kind is None:
            raise KeyboardInterrupt

    def snapshot(self) -> dict[str, Any]:
        """Say everything that is known of the bench, JSON-able: it goes into every recording."""
        plain = self.file.model_dump(mode="json")
        return {
            "file": os.path.basename(self.source),
            "bench": plain["bench"],
            "array": plain["array"],
            "limits": plain["limits"],
            "instruments": {
                name: {**plain["instruments"][name], "identity": self._identities.get(name, "")}
                for name in self.file.instruments
            },
            "roles": {name: role.snapshot() for name, role in self.roles.items()},
            "software": {
                name: _version(name) for name in ("memtj", "pymeasure", "pyvisa", "pyvisa-py", "pyserial")
            },
        }

    def check(self) -> list[Finding]:
        """Look at every instrument without changing anything; opens and closes those that are not open."""
        findings: list[Finding] = []
        for name in self.file.instruments:
            mine = name not in self.instruments
            try:
                instrument = self._open(name, findings) if mine else self.instruments[name]
            except (BenchError, BoardError):
                continue  # what was found is in the list
            try:
                findings += self._look(name, instrument)
            finally:
                if mine:
                    _close(instrument)
        return findings + self._without_role("role", "it is not made safe, and nothing is run beside it")

    def off(self) -> list[Finding]:
        """Bring every role to its safe state, even where another program owns the box; then name what has no role."""
        findings: list[Finding] = []
        for name, role in self.file.roles.items():
            resource = self.file.instruments[role.instrument].resource
            instrument = self._open_to_switch_off(role.instrument, findings)
            if instrument is None:
                continue
            try:
                safe = self._role_of(name, instrument).safe_state()
                detail = "off, confirmed by the board" if safe else "still on: switch it off by hand"
            except Exception as error:  # whatever it is, the other roles must be made safe too
                safe, detail = False, str(error)
            finally:
                _close(instrument)
            findings.append(Finding(role.instrument, resource, "output", safe, detail))
        return findings + self._without_role("output", "it was not switched off: do that by hand")

    def _without_role(self, subject: str, consequence: str) -> list[Finding]:
        said = f"has no role in {self.source}, so {consequence}; give it a role, or take it out of the file"
        return [
            Finding(name, self.file.instruments[name].resource, subject, False, said)
            for name in self.file.without_role
        ]

    def _refuse_instruments_without_role(self) -> None:
        """Raise BenchError where the file has an instrument that leaving the bench would not make safe."""
        names = self.file.without_role
        if names:
            listed = ", ".join(f"[instruments.{name}]" for name in names)
            raise BenchError(
                f"{self.source}: {listed} {'has' if len(names) == 1 else 'have'} no role, so leaving the bench would "
                "not make it safe: give it a role, or take it out of the file"
            )

    def reconnect(self, name: str, look: Callable[[Role], None]) -> None:
        """Open an instrument whose connection was lost anew, and bring its roles to where entering brought them.

        The old connection is closed first: a board switches off when it sees that. Over the new one it must say
        that it is who it was; then its output is switched off, whatever it says (an output that is on still
        hangs on the dead connection, and would go on until the watchdog runs out), `look` is called with each of
        its roles, and the limits go into driver and box again.

        Raises BenchError; where nobody can be reached, it is caused by a BoardError that is `lost`. Then the old
        instrument stays in its place, so that leaving the bench tries once more to switch off.
        """
        old: Any = self.instruments[name]
        _close(old)
        old.lost = True
        before = self._identities[name]
        fresh = self._open(name)
        try:
            if self._identities[name] != before:
                raise BenchError(
                    f"the {name!r} at {self.file.instruments[name].resource} was {before!r} and now says it is "
                    f"{self._identities[name]!r}: start again with the box that is meant"
                )
            roles = {role: self._role_of(role, fresh) for role in self._roles_of(name)}
            for role in roles.values():
                if not role.safe_state():
                    raise BenchError(f"the output of the {name!r} is still on: switch it off by hand")
                look(role)
                role.prepare()
        except BaseException:
            self._identities[name] = before
            _close(fresh)
            raise
        self.instruments[name] = fresh
        self.roles.update(roles)

    # Opening

    def _roles_of(self, instrument: str) -> list[str]:
        return [name for name, role in self.file.roles.items() if role.instrument == instrument]

    def _open(self, name: str, findings: list[Finding] | None = None) -> Instrument:
        """Open an instrument and check who it is; what is found goes to `findings` where it is given."""
        section = self.file.instruments[name]

        def report(subject: str, ok: bool, detail: str) -> None:
            if findings is not None:
                findings.append(Finding(name, section.resource, subject, ok, detail))

        try:
            instrument = self._connect(name)
            try:
                identity = _identity(instrument)
            except BaseException:
                _close(instrument)
                raise
        except BenchError as error:
            report("reachable", False, str(error))
            raise
        except Exception as error:  # drivers of others raise what they like
            why = unreachable(section.resource, error)
            report("reachable", False, why)
            raise BenchError(f"{self.source}, key 'instruments.{name}.resource': {why}") from error
        report("reachable", True, "answers")
        wrong = self._mistaken(name, instrument, identity)
        report("identity", wrong is None, wrong or identity)
        if wrong is None and (wrong := self._incompatible(name, instrument)):
            report("protocol", False, wrong)
        if wrong:
            _close(instrument)
            raise BenchError(wrong)
        self._identities[name] = identity
        return instrument

    def _open_to_switch_off(self, name: str, findings: list[Finding]) -> Instrument | None:
        """Open an instrument, one that answers nothing or rubbish too, but none that says it is another."""
        try:
            return self._open(name, findings)
        except BenchError:
            if findings[-1].subject == "identity":
                return None
        with contextlib.suppress(Exception):  # why it cannot be reached was said
            return self._connect(name)

    def _connect(self, name: str) -> Instrument:
        section = self.file.instruments[name]
        try:
            driver: Any = drivers.resolve(section.driver)
        except drivers.UnknownDriver as error:
            raise BenchError(f"{self.source}, key 'instruments.{name}.driver': {error}") from error
        options: dict[str, Any] = {"visa_library": self.file.bench.visa_library, **section.options}
        return driver(section.resource, name=name, **options)

    def _mistaken(self, name: str, instrument: Instrument, identity: str) -> str | None:
        """Say what is wrong with an instrument's identity, or None."""
        section = self.file.instruments[name]
        expected = type(instrument) in {entry.driver for entry in drivers.known}
        if expected and drivers.identify(identity) is not type(instrument):
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

    def _role(self, name: str) -> Role:
        return self._role_of(name, self.instruments[self.file.roles[name].instrument])

    def _role_of(self, name: str, instrument: Instrument) -> Role:
        section = self.file.roles[name]
        if not isinstance(instrument, ArrayBoard):
            raise BenchError(
                f"the role '{name}' in {self.source} needs an ArrayBoard, and "
                f"[instruments.{section.instrument}] is driven by {type(instrument).__name__}"
            )
        path = SignalPath(
            section.source_impedance,
            section.assumed_load,
            section.attenuation,
            section.overshoot,
            self.file.array.resistance,
        )
        return BoardRole(
            instrument, path, self.limits, self.array, source=self.source, instrument=section.instrument
        )

    def _look(self, name: str, instrument: Instrument) -> list[Finding]:
        resource = self.file.instruments[name].resource
        found: list[tuple[str, bool, str]] = []
        try:
            for role, section in self.file.roles.items():
                if section.instrument == name:
                    found += self._role_of(role, instrument).findings()
            if isinstance(instrument, ArrayBoard):
                instrument.check_errors()
                found.append(("error queue", True, "empty"))
        except BoardError as error:
            found.append(("error queue" if error.number else "answers", False, str(error)))
        except BenchError as error:
            found.append(("role", False, str(error)))
        return [Finding(name, resource, *each) for each in found]

    # Leaving

    def _leave(self) -> bool:
        """Make everything safe and close it; returns whether Ctrl-C or SIGTERM came meanwhile."""
        with _undisturbed() as interrupted:
            for name, role in self.roles.items():
                # A board that was refused because another program owns it is left to that program.
                if getattr(role, "prepared", True):
                    self._make_safe(name, role)
            for instrument in self.instruments.values():
                _close(instrument)
            self.roles.clear()
            self.instruments.clear()
        self._release_sigterm()
        return interrupted()

    def _make_safe(self, name: str, role: Role) -> None:
        instrument = self.file.roles[name].instrument
        if getattr(self.instruments[instrument], "lost", False):
            self._make_safe_anew(name)
            return
        try:
            if role.safe_state():
                log.info("%s: safe, confirmed", instrument)
                return
            log.critical("the output of the %r is still on: switch it off by hand", instrument)
        except Exception as error:
            log.warning("%s; trying once more over a new connection", error)
            self._make_safe_anew(name)

    def _make_safe_anew(self, name: str) -> None:
        instrument = self.file.roles[name].instrument
        try:
            _close(self.instruments[instrument])
            self.instruments[instrument] = self._connect(instrument)
            if self._role(name).safe_state():
                log.warning("the %r is safe, confirmed over a new connection", instrument)
                return
            log.critical("the output of the %r is still on: switch it off by hand", instrument)
        except Exception as error:
            log.critical(
                "the %r cannot be reached (%s): its watchdog switches it off; look at it before going on",
                instrument,
                error,
            )

    def _catch_sigterm(self) -> None:
        """Have SIGTERM unwind the program, where nobody else decided what it does."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._restore_handler = signal.signal(signal.SIGTERM, _terminate)

    def _release_sigterm(self) -> None:
        if self._restore_handler is not None:
            signal.signal(signal.SIGTERM, self._restore_handler)
            self._restore_handler = None


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated("terminated")


@contextlib.contextmanager
def _undisturbed() -> Iterator[Any]:
    """Hold Ctrl-C and SIGTERM back while outputs are being switched off."""
    pending: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():

        def note(number: int, frame: FrameType | None) -> None:
            pending.append(number)
            log.warning("switching off; a moment, please")

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pending)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _identity(instrument: Instrument) -> str:
    try:
        return str(instrument.id).strip()
    except BoardError:
        raise
    except Exception as error:
        raise BenchError(f"the {instrument.name!r} does not say who it is: {error}") from error


def _close(instrument: Instrument) -> None:
    with contextlib.suppress(Exception):
        instrument.adapter.close()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
