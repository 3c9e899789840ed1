"""Looking at a bench and switching it off without using it: what `memtj bench check` and `off` find."""

from collections.abc import Mapping
from types import MappingProxyType

from pymeasure.instruments import Instrument

from drivers import ArrayBoard, BoardError

from .._errors import BenchError
from ._opening import ROLES, Finding, Opening, close


def check(opening: Opening, opened: Mapping[str, Instrument]) -> list[Finding]:
    """Look at every instrument without changing anything; opens and closes those that are not `opened`."""
    findings: list[Finding] = []
    for name in opening.file.instruments:
        mine = name not in opened
        try:
            instrument = opening.open(name, findings)[0] if mine else opened[name]
        except (BenchError, BoardError):
            continue  # what was found is in the list
        try:
            findings += _look(opening, name, instrument)
        finally:
            if mine:
                close(instrument)
    opening.end_wire_log()
    return findings + _without_role(opening, "role", "it is not made safe, and nothing is run beside it")


def switch_off(opening: Opening, opened: Mapping[str, Instrument] = MappingProxyType({})) -> list[Finding]:
    """Bring every role to its safe state, in the safe order, over what is `opened`; then name what has no role."""
    findings: list[Finding] = []
    for name, role in sorted(opening.file.roles.given().items(), key=lambda item: ROLES[item[0]].safe_step):
        resource = opening.file.instruments[role.instrument].resource
        there = opened.get(role.instrument)
        instrument = there or opening.open_to_switch_off(role.instrument, findings)
        if instrument is None:
            continue
        try:
            made = opening.role(name, instrument)
            safe = made.safe_state()
            detail = made.safe_words if safe else "still on: switch it off by hand"
        except Exception as error:  # whatever it is, the other roles must be made safe too
            safe, detail = False, str(error)
        finally:
            if there is None:
                close(instrument)
        findings.append(Finding(role.instrument, resource, "output", safe, detail))
    opening.end_wire_log()
    return findings + _without_role(opening, "output", "it was not switched off: do that by hand")


def _look(opening: Opening, name: str, instrument: Instrument) -> list[Finding]:
    found: list[tuple[str, bool, str]] = []
    try:
        found += [("own code", True, each) for each in opening.own_code(name)]
        for role in opening.file.roles_of(name):
            found += opening.role(role, instrument).findings()
        if isinstance(instrument, ArrayBoard):
            instrument.check_errors()
            found.append(("error queue", True, "empty"))
    except BoardError as error:
        found.append(("error queue" if error.number else "answers", False, str(error)))
    except BenchError as error:
        found.append(("role", False, str(error)))
    return [Finding(name, opening.file.instruments[name].resource, *each) for each in found]


def _without_role(opening: Opening, subject: str, consequence: str) -> list[Finding]:
    detail = f"has no role in {opening.source}, so {consequence}; give it a role, or take it out of the file"
    return [
        Finding(name, opening.file.instruments[name].resource, subject, False, detail)
        for name in opening.file.without_role
    ]
