"""The bench file: what is on the bench, how it is wired, what the devices stand (docs/bench-file.md)."""

import math
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from .._errors import BenchError
from ._resource import misspelt

LATER_ROLES = ("selector",)
CLASSIC_ROLES = {"pulse_source", "readout"}
UNKNOWN = "?"  # in the place of a value that is still to be filled in
MAGNET_ROLES = {"field", "gaussmeter"}  # beside a board or a classic bench

Volts = Annotated[float, Field(gt=0, le=100, description="volts")]
Seconds = Annotated[float, Field(gt=0, le=1e-3, description="seconds")]
Metres = Annotated[float, Field(gt=0, le=1e-3, description="metres")]
Ohms = Annotated[float, Field(gt=0, le=1e12, description="ohms")]


def _option(value: object) -> object:
    """Let through what a driver's keyword argument may be."""
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("an option is text, a finite number, true or false")
    return value


class _Section(BaseModel):
    # TOML has words for NaN and infinity, and no box must get either.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BenchSection(_Section):
    """`[bench]`: what this bench is called, who runs it, by which VISA library, and whether boxes are guarded."""

    name: str = Field(min_length=1, description="text")
    operator: str = Field(default="", description="text")
    visa_library: str = Field(default="", description="text")
    guardian: bool = Field(default=True, description="true or false")


class InstrumentSection(_Section):
    """`[instruments.NAME]`: one box on a wire."""

    driver: str = Field(min_length=1, description="text")
    resource: str = Field(min_length=1, description="text")
    options: dict[str, Annotated[Any, BeforeValidator(_option)]] = Field(default={}, description="table")


class RoleSection(_Section):
    """`[roles.ROLE]`: which instrument plays it, and the path from its output to the device."""

    instrument: str = Field(min_length=1, description="text")
    adapter: str = Field(default="", description="text")
    source_impedance: float = Field(ge=0, le=1e9, description="ohms")
    assumed_load: float = Field(gt=0, allow_inf_nan=True, description="ohms, inf for an open circuit")
    attenuation: float = Field(default=0.0, ge=0, le=200, description="decibels")
    overshoot: float = Field(default=0.0, ge=0, le=1, description="fraction")


class FieldSection(_Section):
    """`[roles.field]`: which instrument drives the magnet around the devices, and what the magnet is."""

    instrument: str = Field(min_length=1, description="text")
    adapter: str = Field(default="", description="text")
    axis: Literal["z"] = Field(description='"z", normal to the layers')
    field_per_ampere: float = Field(gt=0, le=100, description="tesla per ampere")
    ramp: float = Field(gt=0, le=100, description="tesla per second")
    voltage: float = Field(gt=0, le=1000, description="volts")


class GaussmeterSection(_Section):
    """`[roles.gaussmeter]`: which instrument reads the field."""

    instrument: str = Field(min_length=1, description="text")
    adapter: str = Field(default="", description="text")


class RolesSection(_Section):
    """`[roles]`: those that are not given are None."""

    board: RoleSection | None = None
    pulse_source: RoleSection | None = None
    readout: RoleSection | None = None
    field: FieldSection | None = None
    gaussmeter: GaussmeterSection | None = None

    def given(self) -> dict[str, RoleSection | FieldSection | GaussmeterSection]:
        """Give those that the file has."""
        return {name: section for name, section in self if section is not None}


class ArraySection(_Section):
    """`[array]`: the devices."""

    rows: int = Field(ge=1, le=65536, description="whole number")
    columns: int = Field(ge=1, le=65536, description="whole number")
    resistance: Ohms
    diameter: Metres | None = None
    thermal_stability: float | None = Field(default=None, ge=0, le=1000, description="number")
    thermal_stability_spread: float = Field(default=0.0, ge=0, le=0.5, description="fraction")
    stack: str = Field(default="", description="text")
    device: str = Field(default="", description="text")
    temperature: float | None = Field(default=None, gt=0, le=1000, description="kelvin")


class LimitsSection(_Section):
    """`[limits]`: absolute maxima at the device."""

    pulse_voltage: Volts
    pulse_width: Seconds
    read_voltage: Volts
    duty: float = Field(default=1.0, gt=0, le=1, description="fraction")
    hold_voltage: float = Field(default=0.0, ge=0, le=100, description="volts")
    current: float | None = Field(default=None, gt=0, le=10, description="amperes")
    field: float | None = Field(default=None, gt=0, le=100, description="tesla")


class BenchFile(_Section):
    """A whole bench file."""

    bench: BenchSection
    instruments: dict[str, InstrumentSection] = Field(min_length=1, description="tables")
    roles: RolesSection
    array: ArraySection
    limits: LimitsSection

    @property
    def without_role(self) -> list[str]:
        """The instruments that play no role, so that nobody knows how to make them safe."""
        used = {role.instrument for role in self.roles.given().values()}
        return [name for name in self.instruments if name not in used]

    @property
    def is_classic(self) -> bool:
        """Whether it has a pulse source and a readout in the place of a board."""
        return bool(CLASSIC_ROLES & self.roles.given().keys())

    def roles_of(self, instrument: str) -> list[str]:
        """Name the roles that an instrument plays."""
        return [name for name, role in self.roles.given().items() if role.instrument == instrument]


def read_bench_file(path: str | os.PathLike[str]) -> BenchFile:
    """Read and check a bench file; raises BenchError naming file, line and key."""
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows put a byte order mark before it
        content = tomllib.loads(text)
    except OSError as error:
        raise BenchError(f"cannot read the bench file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BenchError(f"the bench file {path} is no text in UTF-8: save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"the bench file {path} is not valid TOML: {error}") from error
    _refuse_unknown(content, path, text)
    try:
        file = BenchFile.model_validate(content)
    except ValidationError as error:
        # A key that does not belong here is often the misspelt one of those that are missing.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        more = error.error_count() - 1
        raise BenchError(
            _at(path, text, first["loc"])
            + _explain(first["type"], first["loc"], first["msg"])
            + (f" (and {more} more)" if more else "")
        ) from None
    _check_roles(file, path, text)
    _check_classic(file, path, text)
    _check_magnet(file, path, text)
    _check_resources(file, path, text)
    return file


def _refuse_unknown(content: dict[str, Any], path: Path, text: str) -> None:
    unknown = list(_unknown(content, ()))
    if unknown:
        key, field = ".".join(unknown[0]), _describe(unknown[0])[1]
        unit = f" ({field.description})" if field is not None and field.description else ""
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise BenchError(
            f"{_at(path, text, unknown[0])}the key '{key}'{unit} is not filled in: write the value of your bench "
            f'in the place of "{UNKNOWN}", docs/bench-file.md says what it means{more}'
        )


def _unknown(section: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _unknown(value, (*above, key))
        elif value == UNKNOWN:
            yield (*above, key)


def _check_roles(file: BenchFile, path: Path, text: str) -> None:
    if file.roles.board is not None and file.roles.board.adapter:
        where = _at(path, text, ("roles", "board", "adapter"))
        raise BenchError(f"{where}a board needs no adapter: leave 'roles.board.adapter' out")
    for name, role in file.roles.given().items():
        if role.instrument not in file.instruments:
            where = _at(path, text, ("roles", name, "instrument"))
            raise BenchError(
                f"{where}there is no instrument '{role.instrument}'; "
                f"the file has {', '.join(repr(known) for known in file.instruments)}"
            )


def _check_classic(file: BenchFile, path: Path, text: str) -> None:
    given = file.limits.current is not None
    if not file.is_classic:
        if given:
            where = _at(path, text, ("limits", "current"))
            raise BenchError(f"{where}a board has no limit of the current: leave 'limits.current' out")
        return
    roles = file.roles.given().keys() - MAGNET_ROLES
    if roles != CLASSIC_ROLES:
        where = _at(path, text, ("roles", next(iter(roles))))
        raise BenchError(
            f"{where}a bench has [roles.board] alone, or [roles.pulse_source] and [roles.readout]"
        )
    if not given:
        raise BenchError(f"{_at(path, text, ('limits',))}the key 'limits.current' (amperes) is missing")
    if (file.array.rows, file.array.columns) != (1, 1):
        where = _at(path, text, ("array",))
        raise BenchError(f"{where}a pulse source and a readout have one junction: rows = 1, columns = 1")


def _check_magnet(file: BenchFile, path: Path, text: str) -> None:
    roles = file.roles.given().keys()
    if not roles - MAGNET_ROLES:
        raise BenchError(
            f"{_at(path, text, ('roles',))}nothing pulses: give [roles.board], or [roles.pulse_source] and "
            "[roles.readout]"
        )
    if "gaussmeter" in roles and "field" not in roles:
        raise BenchError(
            f"{_at(path, text, ('roles', 'gaussmeter'))}a gaussmeter confirms the field of a [roles.field], and "
            "there is none"
        )
    if ("field" in roles) != (file.limits.field is not None):
        where = _at(path, text, ("limits", "field"))
        raise BenchError(
            f"{where}the key 'limits.field' (tesla) "
            + ("is missing" if "field" in roles else "is for a [roles.field], and there is none")
        )


def _check_resources(file: BenchFile, path: Path, text: str) -> None:
    # Of those with a role alone: the others must not keep `off` from these.
    for name in dict.fromkeys(role.instrument for role in file.roles.given().values()):
        instrument = file.instruments[name]
        library = instrument.options.get("visa_library", file.bench.visa_library)
        wrong = misspelt(instrument.resource, str(library))
        if wrong is not None:
            raise BenchError(f"{_at(path, text, ('instruments', name, 'resource'))}{wrong}")


def _explain(kind: str, location: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(part) for part in location)
    parent, field = _describe(location)
    if kind == "extra_forbidden" and location[0] == "roles" and len(location) == 2:
        if location[1] in LATER_ROLES:
            return (
                f"the role '{location[1]}' is not supported by this version; a bench has one board that pulses "
                "and reads, [roles.board]"
            )
        return f"there is no role '{location[1]}'; give [roles.board]"
    if kind == "extra_forbidden":
        known = ", ".join(parent) if parent else "none"
        return f"there is no key '{key}' here; known are {known}"
    message = message.removeprefix("Value error, ")
    unit = f" ({field.description})" if field is not None and field.description else ""
    if kind == "missing":
        return f"the key '{key}'{unit} is missing"
    return f"the key '{key}'{unit} is wrong: {message[:1].lower()}{message[1:]}"


def _describe(location: tuple[int | str, ...]) -> tuple[dict[str, FieldInfo], FieldInfo | None]:
    """Find the fields of the section that a location is in, and the field itself."""
    fields: dict[str, FieldInfo] = BenchFile.model_fields
    field: FieldInfo | None = None
    inside: Any = None
    for part in location:
        if inside is not None:  # the free name of an instrument or a role
            fields, field, inside = inside.model_fields, None, None
            continue
        field = fields.get(str(part))
        if field is None:
            break
        kind = field.annotation
        if isinstance(kind, UnionType):  # a section that may be left out
            kind = get_args(kind)[0]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if part != location[-1]:
                fields = kind.model_fields
        elif getattr(kind, "__origin__", None) is dict:
            inside = kind.__args__[1] if isinstance(kind.__args__[1], type) else None  # type: ignore[union-attr]
    return fields, field


def _at(path: Path, text: str, location: tuple[int | str, ...]) -> str:
    line = _line_of(text, tuple(str(part) for part in location))
    return f"{path}, line {line}: " if line else f"{path}: "


_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


def _line_of(text: str, location: tuple[str, ...]) -> int:
    """Find the line of a key, or of the closest table around it; 0 where there is none."""
    table: tuple[str, ...] = ()
    best, depth = 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            here = table = _parts(header[1])
        elif key:
            here = table + _parts(key[1])
        else:
            continue
        if depth < len(here) <= len(location) and here == location[: len(here)]:
            best, depth = number, len(here)
    return best


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(re.sub(r"^['\"]|['\"]$", "", part.strip()) for part in dotted.split("."))
