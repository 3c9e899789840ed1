"""The bench: opens the instruments of a bench file, keeps the limits, and leaves everything safe."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pymeasure.instruments import Instrument

from entropy.versions import installed_version

from .._errors import BenchError
from . import _inspection
from ._board_limits import limited_number
from ._board_role import BoardRole
from ._classic_roles import FieldRole, GaussmeterRole, PulseSourceRole, ReadoutRole
from ._file import BenchFile, read_bench_file
from ._guardian import Guardian
from ._opening import ROLES, Finding, Opening, close
from ._role import Role
from ._signals import catch_sigterm, held_back
from ._wire_log import WireLog

log = logging.getLogger(__name__)


class Bench:
    """The instruments of a bench file, in their roles; a context manager whose every exit is safe.

    Entering opens the instruments, checks who they are, and puts the limits into drivers and boxes before any
    output can be on. Leaving, by success, exception, Ctrl-C or SIGTERM, brings every role to its safe state in the
    safe order, asks for confirmation, and closes the connections; that part never raises.
    """

    def __init__(
        self, file: BenchFile, source: str | os.PathLike[str], *, wire_log: WireLog | None = None
    ) -> None:
        self.file = file
        self.source = str(source)
        self.array, self.limits = file.array, file.limits
        self.instruments: dict[str, Instrument] = {}
        self.roles: dict[str, Role] = {}
        self._opening = Opening(file, self.source, wire_log)
        self._guardian = Guardian(file, self.source)
        self.identities: dict[str, str] = {}
        self.field = 0.0  # T, as measured when it was set
        self._own_code: dict[str, list[str]] = {}
        self._release_sigterm: Callable[[], object] = lambda: None

    @classmethod
    def from_toml(
        cls, path: str | os.PathLike[str], *, wire_log: str | os.PathLike[str] | None = None
    ) -> Self:
        """Read a bench file; raises BenchError naming file, line and key. Nothing is opened yet.

        `wire_log`: a new file for everything that is said to the boxes and by them (docs/wire-log.md).
        """
        file = read_bench_file(path)
        return cls(file, Path(path), wire_log=None if wire_log is None else WireLog(wire_log))

    @property
    def board(self) -> BoardRole:
        """The role of the board; raises BenchError while the bench is not entered, or where it has none."""
        role = self._role("board")
        assert isinstance(role, BoardRole)
        return role

    @property
    def pulse_source(self) -> PulseSourceRole:
        """The role of the pulse source; raises BenchError while the bench is not entered, or where it has none."""
        role = self._role("pulse_source")
        assert isinstance(role, PulseSourceRole)
        return role

    @property
    def readout(self) -> ReadoutRole:
        """The role of the readout; raises BenchError while the bench is not entered, or where it has none."""
        role = self._role("readout")
        assert isinstance(role, ReadoutRole)
        return role

    def __enter__(self) -> Self:
        self._opening.refuse_instruments_without_role()
        self._own_code = {name: self._opening.own_code(name) for name in self.file.instruments}
        self._release_sigterm = catch_sigterm()
        try:
            self._guardian.begin()
            for name in self.file.instruments:
                self.instruments[name], self.identities[name] = self._opening.open(name)
            for name, role in self.file.roles.given().items():
                self.roles[name] = self._opening.role(name, self.instruments[role.instrument])
            self._guardian.connect()
            for role in self.roles.values():
                role.prepare()
            self._guardian.arm()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        interrupted = self._leave()
        if interrupted and kind is None:
            raise KeyboardInterrupt

    def set_field(self, field: float) -> float:
        """Ramp the magnet to so many tesla, have a gaussmeter of the bench confirm it, and give the field measured.

        Raises BenchError above the limit, or, the field down and off, where it is not the one that was set.
        """
        self.check_field(field)
        role, meter = self.roles.get("field"), self.roles.get("gaussmeter")
        if not isinstance(role, FieldRole):
            return 0.0
        self.field = 0.0
        found = role.set_field(field)
        try:
            self.field = meter.confirm(field) if isinstance(meter, GaussmeterRole) else found
        except BaseException:
            role.safe_state()
            raise
        return self.field

    def check_field(self, field: float) -> None:
        """Raise BenchError for a field above the limit, or any but 0 where no magnet plays [roles.field]."""
        field, most = limited_number(field, "field"), self.limits.field
        if most is None and field:
            raise BenchError(f"the bench of {self.source} has no field to set: give it a [roles.field]")
        if most is not None and abs(field) > most:
            raise BenchError(
                f"a field of {field:g} T is above limits.field = {most:g} T: choose a smaller one"
            )

    def snapshot(self) -> dict[str, Any]:
        """Say everything that is known of the bench, JSON-able: it goes into every recording."""
        plain = self.file.model_dump(mode="json")
        return {
            "file": os.path.basename(self.source),
            "bench": plain["bench"],
            "array": plain["array"],
            "limits": plain["limits"],
            "instruments": {
                name: {
                    **plain["instruments"][name],
                    "identity": self.identities.get(name, ""),
                    **({"own_code": own} if (own := self._own_code.get(name)) else {}),
                }
                for name in self.file.instruments
            },
            "roles": {name: role.snapshot() for name, role in self.roles.items()},
            "software": {
                name: installed_version(name)
                for name in ("memtj", "pymeasure", "pyvisa", "pyvisa-py", "pyserial")
            },
        }

    def check(self) -> list[Finding]:
        """Look at every instrument without changing anything; opens and closes those that are not open."""
        return _inspection.check(self._opening, self.instruments)

    def off(self) -> list[Finding]:
        """Bring every role to its safe state, even where another program owns the box; then name what has no role."""
        return _inspection.switch_off(self._opening)

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
        close(old)
        old.lost = True
        before = self.identities[name]
        fresh, identity = self._opening.open(name)
        try:
            if identity != before:
                raise BenchError(
                    f"the {name!r} at {self.file.instruments[name].resource} was {before!r} and now says it is "
                    f"{identity!r}: start again with the box that is meant"
                )
            roles = {role: self._opening.role(role, fresh) for role in self.file.roles_of(name)}
            for role in roles.values():
                if not role.safe_state():
                    raise BenchError(f"the output of the {name!r} is still on: switch it off by hand")
                look(role)
                role.prepare()
        except BaseException:
            close(fresh)
            raise
        self.instruments[name] = fresh
        self.roles.update(roles)

    def _role(self, name: str) -> Role:
        if name not in self.file.roles.given():
            raise BenchError(f"the bench of {self.source} has no [roles.{name}], which this needs")
        if name not in self.roles:
            raise BenchError(f"the bench of {self.source} is not open: use it in a 'with' statement")
        return self.roles[name]

    def _leave(self) -> bool:
        """Make everything safe and close it; returns whether Ctrl-C or SIGTERM came meanwhile."""
        safe = True
        with held_back() as interruptions:
            for name, role in sorted(self.roles.items(), key=lambda item: item[1].safe_step):
                # A board that was refused because another program owns it is left to that program.
                if role.prepared:
                    safe = self._make_safe(name, role) and safe
            for instrument in self.instruments.values():
                close(instrument)
            self._guardian.end(safe)
            self.roles.clear()
            self.instruments.clear()
            self._opening.end_wire_log()
        self._release_sigterm()
        return bool(interruptions)

    def _make_safe(self, name: str, role: Role) -> bool:
        if getattr(self.instruments.get(role.instrument), "lost", False):
            return self._make_safe_anew(name, role.instrument)
        try:
            if role.safe_state():
                log.info("%s: safe, confirmed", role.instrument)
                return True
            log.critical("the output of the %r is still on: switch it off by hand", role.instrument)
            return False
        except Exception as error:
            log.warning("%s; trying once more over a new connection", error)
            return self._make_safe_anew(name, role.instrument)

    def _make_safe_anew(self, name: str, instrument: str) -> bool:
        try:
            close(self.instruments[instrument])
            self.instruments[instrument] = self._opening.connect(instrument)
            if self._opening.role(name, self.instruments[instrument]).safe_state():
                log.warning("the %r is safe, confirmed over a new connection", instrument)
                return True
            log.critical("the output of the %r is still on: switch it off by hand", instrument)
        except Exception as error:
            advice = getattr(ROLES.get(name), "where_silent", "switch it off by hand")
            log.critical("the %r cannot be reached (%s): %s", instrument, error, advice)
        return False
