"""A bench file to begin with: what boxes say of themselves is filled in, the rest is left for somebody who knows."""

import json
from collections.abc import Sequence

from .._errors import BenchError
from ._classic_roles import ADAPTERS
from ._discovery import FoundBox
from ._file import MAGNET_ROLES, UNKNOWN

_ROLES = ("board", *ADAPTERS)
_UNKNOWN = f'"{UNKNOWN}"'
_HEAD = f"""\
# A bench file; docs/bench-file.md explains every key. Quantities are SI, without units or prefixes: 2e-9 is two
# nanoseconds. Nothing runs while a {_UNKNOWN} is left: write the value of your wiring and your devices there.

[bench]
name = {_UNKNOWN}                     # what this bench is called; kept in every recording
operator = ""                  # who runs it; kept in every recording
visa_library = {{library}}
"""
_PATH = f"""
[roles.{{role}}]
instrument = {{name}}
source_impedance = {_UNKNOWN}         # ohms, of its output; of a source-meter those of its leads
assumed_load = {_UNKNOWN}             # ohms that its settings assume: inf for one that sets its open-circuit voltage
attenuation = {_UNKNOWN}              # decibels between output and device; 0.0 without an attenuator
overshoot = {_UNKNOWN}                # the peak exceeds the set voltage by this fraction; of a source-meter 0.0
"""
_FIELD = f"""
[roles.field]
instrument = {{name}}
axis = "z"                     # normal to the layers
field_per_ampere = {_UNKNOWN}         # tesla per ampere, of the magnet
ramp = {_UNKNOWN}                     # tesla per second, at most
voltage = {_UNKNOWN}                  # volts across the magnet, at most
"""
_GAUSSMETER = """
[roles.gaussmeter]
instrument = {name}
"""
_TAIL = f"""
[array]
rows = {{rows}}
columns = {{columns}}
resistance = {_UNKNOWN}               # ohms, the highest of a cell (antiparallel): the load at the end of the path

[limits]                       # absolute maxima at the device; nothing exceeds them
pulse_voltage = {_UNKNOWN}            # volts, overshoot and trims included
pulse_width = {_UNKNOWN}              # seconds
read_voltage = {_UNKNOWN}             # volts
duty = {_UNKNOWN}                     # largest width over period
"""
_CURRENT = f"current = {_UNKNOWN}                  # amperes, the largest compliance of a readout\n"
_MOST_FIELD = f"field = {_UNKNOWN}                    # tesla, of either sign\n"


def blank_bench_file(
    boxes: Sequence[FoundBox], *, visa_library: str = "", size: tuple[int, int] | None = None
) -> str:
    """Give the text of a bench file for these boxes; `read_bench_file` refuses it until nothing is left unknown.

    `size`: rows and columns, where they are known. A box without a driver of ours stands in a comment, since nobody
    knows how to make it safe. Raises BenchError where no box pulses or reads, two have the same role, or a board stands
    beside others.
    """
    playing = {role: [box for box in boxes if box.role == role] for role in _ROLES}
    playing = {role: found for role, found in playing.items() if found}
    _refuse(boxes, playing)
    library = json.dumps(visa_library) + '  # "" = whatever VISA library is installed, "@py" = pyvisa-py'
    parts = [_HEAD.format(library=library)]
    parts += [_instrument(role, found[0]) for role, found in playing.items()]
    parts += [_comment(box) for box in boxes if not box.role]
    sections = {"field": _FIELD, "gaussmeter": _GAUSSMETER}
    parts += [sections.get(role, _PATH).format(role=role, name=json.dumps(role)) for role in playing]
    rows, columns = size or ((_UNKNOWN, _UNKNOWN) if "board" in playing else (1, 1))
    parts.append(_TAIL.format(rows=rows, columns=columns))
    parts += [_CURRENT] if "board" not in playing else []
    return "".join([*parts, _MOST_FIELD] if "field" in playing else parts)


def _refuse(boxes: Sequence[FoundBox], playing: dict[str, list[FoundBox]]) -> None:
    if not playing.keys() - MAGNET_ROLES:
        said = (
            "; ".join(f"{box.resource}: {box.identity or box.trouble}" for box in boxes) or "no box was found"
        )
        raise BenchError(f"no box pulses or reads devices ({said}): name one that does by its VISA resource")
    if any(len(found) > 1 for found in playing.values()) or (
        "board" in playing and playing.keys() - MAGNET_ROLES != {"board"}
    ):
        said = "; ".join(f"{role}: {box.resource}" for role, found in playing.items() for box in found)
        raise BenchError(
            f"that is more than one bench ({said}): name the boxes of yours by their VISA resources"
        )


def _instrument(name: str, box: FoundBox) -> str:
    rate = "" if box.baud_rate is None else f"options = {{ baud_rate = {box.baud_rate} }}\n"
    return (
        f"\n[instruments.{name}]                # {box.identity}\n"
        f"driver = {json.dumps(box.driver)}\nresource = {json.dumps(box.resource)}\n{rate}"
    )


def _comment(box: FoundBox) -> str:
    return f"\n# {box.resource}: {box.identity or box.trouble}\n# It has no role here, so nothing would make it safe.\n"
