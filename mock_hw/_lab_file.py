"""The lab file: which boxes the simulated laboratory has, and what they are (docs/simulated-lab.md)."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from mock_hw._errors import LabError
from mock_hw._toml import Strict, message_of, read_toml
from mock_hw.boxes import agilent_33500, keysight_81160a
from mock_hw.faults import FaultTable
from mock_hw.faults._kinds import fit

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PaceName = Literal["fast", "real"]


class LimitSettings(Strict):
    """Limits of a board at power-on: volts, seconds, volts, volts; None: as far as the model of its device goes."""

    voltage: Positive | None = None
    width: Positive | None = None
    read: Positive = 0.5
    hold: Positive = 0.6


class WireSettings(Strict):
    """Where the wire of a box ends: a port, or an `address` on the lab's GPIB."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    address: int | None = Field(default=None, ge=0, le=30)
    serial_number: str = Field(default="0001", pattern=r"^[A-Za-z0-9._-]{1,32}$")

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        on_gpib = getattr(self, "wire", None) == "prologix"
        if on_gpib and self.address is None:
            raise ValueError(
                "a box behind a Prologix adapter has an address on its GPIB: give 'address', 0 to 30"
            )
        if on_gpib and {"host", "port"} & self.model_fields_set:
            raise ValueError("the adapter has host and port: give them in [prologix]")
        if not on_gpib and self.address is not None:
            raise ValueError("an 'address' is for wire = \"prologix\" alone: leave it out")
        return self


class PrologixSettings(Strict):
    """Where the adapter of the lab's GPIB listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class BoxSettings(WireSettings):
    """One board; `temperature` in kelvin, `device` the name of a shipped device or a TOML file."""

    kind: Literal["array-board"]
    wire: Literal["tcp", "serial", "hislip", "vxi11", "prologix"] = "tcp"
    rows: int = Field(default=64, ge=1, le=1024)
    columns: int = Field(default=64, ge=1, le=1024)
    temperature: float = Field(default=300.0, ge=200, le=358)
    device: str = Field(default="C", min_length=1)
    dac_bits: int = Field(default=8, ge=2, le=16)
    field: bool = True
    limits: LimitSettings = LimitSettings()
    faults: list[FaultTable] = Field(default_factory=list[FaultTable])

    @model_validator(mode="after")
    def _faults_fit(self) -> Self:
        if wrong := fit(self.faults, self.rows, self.columns):
            raise ValueError(wrong)
        return self


class JunctionSettings(Strict):
    """One junction that instruments are wired to, through a bias tee; `temperature` in kelvin, `device` as of a box."""

    device: str = Field(default="B", min_length=1)
    temperature: float = Field(default=300.0, ge=200, le=358)
    magnet: str | None = Field(default=None, min_length=1)


class MagnetSettings(Strict):
    """One electromagnet: T/A, ohms, henries; `axis`: along which its field is, z being normal to every junction."""

    field_per_ampere: Positive
    resistance: Positive
    inductance: Positive
    axis: Literal["z"] = "z"


class WiredSettings(WireSettings):
    """What instruments of a bench have in common: no serial line."""

    wire: Literal["tcp", "hislip", "vxi11", "prologix"] = "tcp"


class Agilent33500Settings(WiredSettings):
    """A pulse generator; `edge`: seconds from 10 to 90 % that its pulses have, `attenuation` in decibels behind it."""

    kind: Literal["agilent-33500"]
    junction: str = Field(min_length=1)
    edge: float = Field(default=agilent_33500.FASTEST_EDGE, ge=agilent_33500.FASTEST_EDGE, le=1e-6)
    attenuation: float = Field(default=0.0, ge=0, le=80)

    @property
    def junctions(self) -> tuple[str, ...]:
        """The one that it is wired to."""
        return (self.junction,)


class Keysight81160ASettings(WiredSettings):
    """A faster pulse generator, as an Agilent 33500; `junction_2`: of its second channel, None: it has no such."""

    kind: Literal["keysight-81160a"]
    junction: str = Field(min_length=1)
    junction_2: str | None = Field(default=None, min_length=1)
    edge: float = Field(default=keysight_81160a.FASTEST_EDGE, ge=keysight_81160a.FASTEST_EDGE, le=1e-6)
    attenuation: float = Field(default=0.0, ge=0, le=80)

    @property
    def junctions(self) -> tuple[str, ...]:
        """Those that its channels are wired to."""
        return (self.junction,) if self.junction_2 is None else (self.junction, self.junction_2)


class Keithley2400Settings(WiredSettings):
    """A source-meter; `leads`: ohms between it and the junction."""

    kind: Literal["keithley-2400"]
    junction: str = Field(min_length=1)
    leads: float = Field(default=0.0, ge=0, le=1e6)


class Keithley2450Settings(WiredSettings):
    """A newer source-meter; `language`: of its commands, its own or a 2400's, `leads` in ohms."""

    kind: Literal["keithley-2450"]
    junction: str = Field(min_length=1)
    leads: float = Field(default=0.0, ge=0, le=1e6)
    language: Literal["SCPI", "SCPI2400"] = "SCPI"


class KepcoBopSettings(WiredSettings):
    """A bipolar supply, and the magnet that it drives."""

    kind: Literal["kepco-bop"]
    magnet: str = Field(min_length=1)


class LakeShore425Settings(WiredSettings):
    """A gaussmeter, and the magnet that its probe is in."""

    kind: Literal["lakeshore-425"]
    magnet: str = Field(min_length=1)


GeneratorSettings = Agilent33500Settings | Keysight81160ASettings
MeterSettings = Keithley2400Settings | Keithley2450Settings
InstrumentSettings = GeneratorSettings | MeterSettings | KepcoBopSettings | LakeShore425Settings
AnyBox = Annotated[BoxSettings | InstrumentSettings, Field(discriminator="kind")]
_KINDS = (
    "array-board",
    "agilent-33500",
    "keysight-81160a",
    "keithley-2400",
    "keithley-2450",
    "kepco-bop",
    "lakeshore-425",
)


class LabSection(Strict):
    """What all boxes have in common."""

    seed: int | None = Field(default=None, ge=0)
    pace: PaceName = "fast"


class LabSettings(Strict):
    """A lab's TOML file: `[lab]`, `[boxes.NAME]` for each box, what instruments are wired to (junctions, magnets)."""

    lab: LabSection = LabSection()
    junctions: dict[str, JunctionSettings] = Field(default_factory=dict[str, JunctionSettings])
    magnets: dict[str, MagnetSettings] = Field(default_factory=dict[str, MagnetSettings])
    prologix: PrologixSettings = PrologixSettings()
    boxes: dict[str, AnyBox] = Field(min_length=1)

    @property
    def boards(self) -> dict[str, BoxSettings]:
        """The array boards, which have cells of their own."""
        return {name: box for name, box in self.boxes.items() if isinstance(box, BoxSettings)}

    def edge_at(self, junction: str) -> float:
        """Edges of the pulses that reach a junction, in seconds; the fastest there are where nothing pulses it."""
        edges = (box.edge for box in self._generators if junction in box.junctions)
        return next(edges, agilent_33500.FASTEST_EDGE)

    @property
    def _generators(self) -> list[GeneratorSettings]:
        return [box for box in self.boxes.values() if isinstance(box, GeneratorSettings)]

    @model_validator(mode="after")
    def _wired(self) -> Self:
        things = [(f"box {name!r}", box) for name, box in self.boxes.items()]
        things += [(f"junction {name!r}", junction) for name, junction in self.junctions.items()]
        for what, thing in things:
            for key in ("junction", "junction_2", "magnet"):
                kind, wanted = key.removesuffix("_2"), getattr(thing, key, None)
                if wanted is not None and wanted not in (
                    self.magnets if kind == "magnet" else self.junctions
                ):
                    raise ValueError(f"the {what} has a {kind} {wanted!r}: give [{kind}s.{wanted}]")
        _once("junction", "generators", [name for box in self._generators for name in box.junctions])
        supplies = [box.magnet for box in self.boxes.values() if isinstance(box, KepcoBopSettings)]
        _once("magnet", "supplies", supplies)
        if both := self.junctions.keys() & self.boxes.keys():
            raise ValueError(f"{both.pop()!r} is a box and a junction: give one of them another name")
        return self

    @model_validator(mode="after")
    def _on_one_gpib(self) -> Self:
        addresses = [box.address for box in self.boxes.values() if box.address is not None]
        if (twice := next((each for each in addresses if addresses.count(each) > 1), None)) is not None:
            raise ValueError(f"two boxes have the address {twice} on the GPIB: give each its own")
        if addresses and "prologix" in self.boxes:
            raise ValueError("the adapter is called 'prologix': give the box of that name another")
        return self


def _once(what: str, boxes: str, wired: list[str]) -> None:
    if twice := next((name for name in wired if wired.count(name) > 1), None):
        raise ValueError(f"the {what} {twice!r} has two {boxes}: one is simulated")


def read_lab_file(path: str | os.PathLike[str]) -> LabSettings:
    """Read a lab file; raises `LabError` naming the file and the key that is wrong.

    A device file is looked for beside the lab file.
    """
    path = Path(path)
    settings = read_toml(path, "lab file", LabSettings, LabError, _say, where=_where)
    return settings.model_copy(
        update={
            "boxes": {name: _beside(path, box) for name, box in settings.boxes.items()},
            "junctions": {name: _beside(path, each) for name, each in settings.junctions.items()},
        }
    )


_Settings = TypeVar("_Settings", bound=Strict)


def _beside(path: Path, settings: _Settings) -> _Settings:
    device = getattr(settings, "device", "")
    if not device.endswith(".toml"):
        return settings
    return settings.model_copy(update={"device": str(path.parent / device)})


def _where(details: Any) -> tuple[int | str, ...]:
    """The key that is wrong, without the kinds that pydantic puts between."""
    place = details["loc"]
    if place[:1] == ("boxes",) and len(place) == 2 and details["type"].startswith("union_tag"):
        return *place, "kind"
    return (
        place[:2] + place[3:] if place[:1] == ("boxes",) and len(place) > 2 and place[2] in _KINDS else place
    )


def _say(details: Any) -> str:
    where = "" if details["loc"] else "the file: "
    if details["type"] == "union_tag_not_found":
        what = "box" if len(details["loc"]) == 2 else "fault"
        return f"{where}say by 'kind' which {what} it is"
    return where + message_of(details)
