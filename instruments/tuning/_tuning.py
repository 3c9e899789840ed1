"""A tuning: what each cell of an array was tuned to, and under which conditions; kept as a JSON file."""

import datetime
import hashlib
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from entropy import TUNING_DTYPE
from entropy.arguments import count, real
from entropy.versions import installed_version

from .._errors import BenchError
from .._new_file import keep, write_whole
from ..array import WorkingPoint

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STATES = ("p", "ap")
_PER_STATE = ("voltage", "width", "p", "low", "high", "per_volt", "per_second")
_PER_CELL = ("r_p", "r_ap", "threshold")


@dataclass(frozen=True)
class Conditions(WorkingPoint):
    """What a tuning holds for: a working point, and more; kelvin; raises ValueError for a number that is none."""

    target: float
    tolerance: float
    temperature: float
    rows: int
    columns: int
    identity: str
    device: str
    simulated: bool

    def __post_init__(self) -> None:
        take_numbers(self)


@dataclass(frozen=True, eq=False)
class Tuning:
    """What each cell was tuned to; arrays are (cells,), row by row, or (2, cells): pulses from P, from AP.

    `voltage` (V at the device) and `width` (s) are the trims; `p`, `low`, `high` the probability to switch at them and
    its 95 % interval, `per_volt`, `per_second` the slope of its logit there, all NaN where not measured; `r_p`,
    `r_ap`, `threshold` in ohms; `reason` why a cell is quarantined, "" where it is not; `pulses` that tuning gave it;
    `curves`: of each state and cell the points (volts, seconds, trials, switchings). `source`: file and SHA-256.
    """

    conditions: Conditions
    created: str
    r_p: np.ndarray
    r_ap: np.ndarray
    threshold: np.ndarray
    reason: np.ndarray
    pulses: np.ndarray
    voltage: np.ndarray
    width: np.ndarray
    p: np.ndarray
    low: np.ndarray
    high: np.ndarray
    per_volt: np.ndarray
    per_second: np.ndarray
    curves: list[list[list[tuple[float, float, float, float]]]] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = self.conditions.rows * self.conditions.columns
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray) and value.shape[-1:] != (cells,):
                raise ValueError(f"'{each.name}' has {value.shape[-1]} values for {cells} cells")
        for name in (*_PER_CELL, "voltage", "width"):
            if not np.isfinite(getattr(self, name)[..., self.used]).all():
                raise ValueError(f"'{name}' of a cell that is used is not a finite number")

    @property
    def used(self) -> np.ndarray:
        """Which cells are used; bool, (cells,)."""
        return self.reason == ""

    def table(self) -> np.ndarray:
        """Give it as buffers carry it: TUNING_DTYPE, (cells,)."""
        table = np.zeros(len(self.reason), TUNING_DTYPE)
        for index, state in enumerate(STATES):
            table[f"voltage_{state}"], table[f"width_{state}"] = self.voltage[index], self.width[index]
            table[f"p_from_{state}"] = self.p[index]
            table[f"p_from_{state}_low"], table[f"p_from_{state}_high"] = self.low[index], self.high[index]
            table[f"per_volt_{state}"] = self.per_volt[index]
            table[f"per_second_{state}"] = self.per_second[index]
        table["pulses"] = self.pulses
        table["reason"] = [reason.encode("ascii", "replace") for reason in self.reason]
        return table

    def plain_conditions(self) -> dict[str, Any]:
        """Say under which conditions it was made, and which file it is of; JSON-able."""
        return {**asdict(self.conditions), "created": self.created, **self.source}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a new file, whole or not at all; raises BenchError where the file exists or cannot be written."""
        content = _File(
            format="memtj-tuning",
            version=1,
            created=self.created,
            software={"memtj": installed_version("memtj") or "unknown"},
            conditions=self.conditions,
            cells={name: _plain(getattr(self, name)) for name in _PER_CELL},
            pulses=[int(each) for each in self.pulses],
            reason=[str(each) for each in self.reason],
            states={
                state: _State(
                    **{name: _plain(getattr(self, name)[index]) for name in _PER_STATE},
                    points=self.curves[index] if self.curves else [],
                )
                for index, state in enumerate(STATES)
            },
        )
        write_whole(Path(path), content.model_dump_json().encode() + b"\n")

    def keep(self, path: str | os.PathLike[str]) -> None:
        """Save it as `path`, or where that fails beside it, in the folder for temporary files, or at home.

        Raises BenchError where it had to go elsewhere, saying where it is, and where it could not be saved at all.
        """
        keep(Path(path), self.save, "tuning")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tuning":
        """Read a file; raises BenchError naming file and key where it is none."""
        path = Path(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BenchError(f"cannot read the tuning {path}: {error.strerror or error}") from error
        try:
            file = _File.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BenchError(
                f"{path} is no tuning of this version, key '{where}': {first['msg']}; make one by 'memtj tune'"
            ) from None
        try:
            return cls(
                conditions=file.conditions,
                created=file.created,
                reason=np.array(file.reason, dtype=object),
                pulses=np.array(file.pulses, np.int64),
                curves=[file.states[state].points for state in STATES],
                source={"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()},
                **{name: np.array(file.cells[name], float) for name in _PER_CELL},
                **{
                    name: np.array([getattr(file.states[state], name) for state in STATES], float)
                    for name in _PER_STATE
                },
            )
        except (KeyError, ValueError) as error:
            raise BenchError(f"{path}: {error}: the file is damaged") from error


def take_numbers(value: "DataclassInstance") -> None:
    """Bring the numbers of a frozen dataclass into their types; raises ValueError for one that is none."""
    for each in fields(value):
        number = getattr(value, each.name)
        if each.type is int:
            object.__setattr__(value, each.name, count(number, each.name, least=1))
        elif each.type is float:
            object.__setattr__(value, each.name, real(number, each.name))


def now() -> str:
    """Give the time, ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _State(_Strict):
    voltage: list[float]
    width: list[float]
    p: list[float | None]
    low: list[float | None]
    high: list[float | None]
    per_volt: list[float | None]
    per_second: list[float | None]
    points: list[list[tuple[float, float, float, float]]]


class _File(_Strict):
    format: Literal["memtj-tuning"]
    version: Literal[1]
    created: str
    software: dict[str, str]
    conditions: Conditions
    cells: dict[Literal["r_p", "r_ap", "threshold"], list[float | None]]
    pulses: list[int]
    reason: list[str]
    states: dict[Literal["p", "ap"], _State]


def _plain(values: np.ndarray) -> list[Any]:
    return [float(each) if np.isfinite(each) else None for each in values]
