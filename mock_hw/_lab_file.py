"""The lab file: which boxes the simulated laboratory has, and what they are (docs/simulated-lab.md)."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mock_hw._errors import LabError
from mock_hw._toml import Strict, message_of, read_toml
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


class BoxSettings(Strict):
    """One box; `temperature` in kelvin, `device` the name of a shipped device or a TOML file."""

    kind: Literal["array-board"]
    rows: int = Field(default=64, ge=1, le=1024)
    columns: int = Field(default=64, ge=1, le=1024)
    wire: Literal["tcp", "serial"] = "tcp"
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    serial_number: str = Field(default="0001", pattern=r"^[A-Za-z0-9._-]{1,32}$")
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


class LabSection(Strict):
    """What all boxes have in common."""

    seed: int | None = Field(default=None, ge=0)
    pace: PaceName = "fast"


class LabSettings(Strict):
    """A lab's TOML file: `[lab]` with `seed` and `pace`, and one `[boxes.NAME]` for each box."""

    lab: LabSection = LabSection()
    boxes: dict[str, BoxSettings] = Field(min_length=1)


def read_lab_file(path: str | os.PathLike[str]) -> LabSettings:
    """Read a lab file; raises `LabError` naming the file and the key that is wrong.

    A device file is looked for beside the lab file.
    """
    path = Path(path)
    settings = read_toml(path, "lab file", LabSettings, LabError, _say)
    return settings.model_copy(
        update={"boxes": {name: _beside(path, box) for name, box in settings.boxes.items()}}
    )


def _beside(path: Path, box: BoxSettings) -> BoxSettings:
    if not box.device.endswith(".toml"):
        return box
    return box.model_copy(update={"device": str(path.parent / box.device)})


def _say(details: Any) -> str:
    where = "" if details["loc"] else "the file: "
    if details["type"] == "union_tag_not_found":
        return f"{where}say by 'kind' which fault it is"
    return where + message_of(details)
