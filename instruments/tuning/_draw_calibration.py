"""A calibration of draws: V(P) of each cell and direction, and under which conditions; kept as a file of numpy's."""

import hashlib
import io
import json
import os
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from scipy.interpolate import PchipInterpolator, interp1d

from entropy import TUNING_DTYPE
from entropy.versions import installed_version

from .._errors import BenchError
from .._new_file import keep, write_whole
from ..array import Array, SwitchingLaw, WorkingPoint
from ._apply_tuning import refuse_other_array, refuse_other_temperature
from ._tuning import STATES, take_numbers

_FORMAT, _VERSION = "memtj-draws", 1
_PER_CELL = ("r_p", "r_ap", "threshold")
_EVERY, _SIGMA_EVERY, _FINER = (
    5,
    10,
    2,
)  # of the law's logits those that are kept; steps between two of them again
_UNIT, _MOST = 1e-5, 32767  # V, and how many of them
_LEAST, _FINENESS = 1e-6, 20.0  # V; standard errors are kept in steps of 5 %
_AUDITED = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@dataclass(frozen=True)
class DrawConditions(WorkingPoint):
    """What a calibration of draws holds for; volts at the device, kelvin; raises ValueError for a number that is none.

    `voltage` is that of the pulse which the cells were told apart with; `pulses`: that each cell was given.
    """

    hold: float
    lowest: float
    highest: float
    pulses: int
    temperature: float
    rows: int
    columns: int
    identity: str
    device: str
    simulated: bool

    def __post_init__(self) -> None:
        take_numbers(self)


@dataclass(frozen=True, eq=False)
class DrawCalibration:
    """At which voltage each cell switches with which probability; arrays are (cells,), row by row.

    `law`: of all cells, those that are quarantined with the mean of the others; `r_p`, `r_ap`, `threshold` in ohms;
    `reason` why a cell is quarantined, "" where it is not. `source`: file and SHA-256, empty where it is in no file.
    """

    conditions: DrawConditions
    created: str
    law: SwitchingLaw
    r_p: np.ndarray
    r_ap: np.ndarray
    threshold: np.ndarray
    reason: np.ndarray
    source: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = self.conditions.rows * self.conditions.columns
        for name in (*_PER_CELL, "reason"):
            if getattr(self, name).shape != (cells,):
                raise ValueError(f"'{name}' is not one value for each of {cells} cells")
        if self.law.cells != cells:
            raise ValueError(f"curves of {self.law.cells} cells for {cells}")
        if not all(np.isfinite(getattr(self, name)[self.used]).all() for name in _PER_CELL):
            raise ValueError("the ohms of a cell that is used are not finite numbers")

    @property
    def used(self) -> np.ndarray:
        """Which cells are used; bool, (cells,)."""
        return self.reason == ""

    def refuse_other(self, array: Array) -> None:
        """Raise BenchError where it is of another array, another pulse or reading, or another temperature."""
        known = self.conditions
        refuse_other_array(array, known, "calibration", "calibrate")
        for name in ("width", "period", "read_voltage", "settle"):
            here = getattr(array.point, name)
            if not np.isclose(here, getattr(known, name), rtol=1e-6, atol=0):
                raise BenchError(
                    f"the calibration was made with a {name.replace('_', ' ')} of {getattr(known, name):g} and "
                    f"{here:g} is asked for: leave that out, or calibrate again at this point"
                )
        refuse_other_temperature(array, known.temperature, "calibrated", "calibrate")

    def record(self) -> dict[str, Any]:
        """Give `tuning` and `conditions` of a RecordingPlan, as a buffer carries them.

        The table says where each cell and direction switches with 1/2: the volts beyond `voltage`, the 95 % interval of
        P there, and the slope. The conditions name the file by its SHA-256, which has the curves, and the mean volts of
        the used cells at some probabilities.
        """
        table = np.zeros(len(self.reason), TUNING_DTYPE)
        mean: dict[str, list[float]] = {}
        for antiparallel, state in enumerate(STATES):
            volts = self.law.voltage(0.5, bool(antiparallel))[0]
            low, high = self.law.interval(0.5, bool(antiparallel))
            table[f"voltage_{state}"], table[f"p_from_{state}"] = volts - self.conditions.voltage, 0.5
            table[f"p_from_{state}_low"], table[f"p_from_{state}_high"] = low, high
            table[f"per_volt_{state}"] = self.law.response(volts, bool(antiparallel))[1]
            table[f"per_second_{state}"] = np.nan
            mean[state] = [
                float(self.law.voltage(p, bool(antiparallel))[0][self.used].mean()) for p in _AUDITED
            ]
        table["pulses"] = self.conditions.pulses
        table["reason"] = [reason.encode("ascii", "replace") for reason in self.reason]
        plain = {"kind": _FORMAT, "p": list(_AUDITED), "mean_volts": mean, "created": self.created}
        return {"tuning": table, "conditions": {**asdict(self.conditions), **plain, **self.source}}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a new file, whole or not at all; raises BenchError where the file exists or cannot be written."""
        volts = self.law.volts[..., ::_EVERY]
        mean = volts.mean(1, keepdims=True)
        unit = max(_UNIT, float(np.abs(volts - mean).max()) / _MOST)
        steps = np.diff(
            np.rint((volts - mean) / unit), axis=2, prepend=0
        )  # small, so that they are packed well
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "created": self.created,
            "software": {"memtj": installed_version("memtj") or "unknown"},
            "conditions": asdict(self.conditions),
            "reason": {int(cell): str(self.reason[cell]) for cell in np.flatnonzero(~self.used)},
        }
        content = io.BytesIO()
        np.savez_compressed(
            content,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            logits=self.law.logits[::_EVERY],
            mean=mean,
            unit=unit,
            steps=steps.astype(np.int16),
            sigma=np.clip(_FINENESS * np.log(self.law.sigma[..., ::_SIGMA_EVERY] / _LEAST), 0, 255).astype(
                np.uint8
            ),
            **{name: getattr(self, name).astype(np.float32) for name in _PER_CELL},
        )
        write_whole(Path(path), content.getvalue())

    def keep(self, path: str | os.PathLike[str]) -> "DrawCalibration":
        """Save it as `path`, or elsewhere, as a tuning is kept; give what the file holds."""
        keep(Path(path), self.save, "calibration")
        return self.load(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DrawCalibration":
        """Read a file; raises BenchError naming the file where it is none, or damaged."""
        path = Path(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BenchError(f"cannot read the calibration {path}: {error.strerror or error}") from error
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            header = json.loads(bytes(content["header"]))
            if (header["format"], header["version"]) != (_FORMAT, _VERSION):
                raise ValueError(f"its format is {header['format']!r}, version {header['version']}")
            conditions = TypeAdapter(DrawConditions).validate_python(header["conditions"])
            reason = np.full(conditions.rows * conditions.columns, "", object)
            for cell, why in header["reason"].items():
                reason[int(cell)] = why
            return cls(
                conditions, str(header["created"]), _law(content, conditions), reason=reason,
                source={"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()},
                **{name: content[name].astype(float) for name in _PER_CELL},
            )  # fmt: skip
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"key 'conditions.{'.'.join(str(part) for part in first['loc'])}': {first['msg']}"
        except KeyError as error:
            wrong = f"there is no {error}"
        except (ValueError, TypeError, IndexError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            wrong = str(error).split("\n")[0]
        raise BenchError(
            f"{path} is no calibration of this version, or damaged ({wrong}); make one by 'memtj calibrate'"
        )


def spread_over(law: SwitchingLaw, used: np.ndarray) -> SwitchingLaw:
    """Give the law of all cells from that of the used ones, bool (cells,): the others have their mean."""
    volts, sigma = (
        np.repeat(each.mean(1, keepdims=True), len(used), axis=1) for each in (law.volts, law.sigma)
    )
    volts[:, used], sigma[:, used] = law.volts, law.sigma
    return replace(law, volts=volts, sigma=sigma)


def _law(content: dict[str, np.ndarray], conditions: DrawConditions) -> SwitchingLaw:
    """Make the law of the kept points, by the monotone interpolation of Fritsch and Carlson (1980)."""
    knots = content["logits"]
    logits = np.linspace(knots[0], knots[-1], _FINER * (len(knots) - 1) + 1)
    volts = content["mean"] + content["unit"] * np.cumsum(content["steps"], axis=2, dtype=np.int16)
    curves = PchipInterpolator(knots, np.maximum.accumulate(volts, axis=2), axis=2)(logits)
    sigma = _LEAST * np.exp((content["sigma"] + 0.5) / _FINENESS)
    every = np.linspace(knots[0], knots[-1], sigma.shape[2])
    return SwitchingLaw(
        logits, np.maximum.accumulate(curves, axis=2), interp1d(every, sigma)(logits), conditions.lowest,
        conditions.highest,
    )  # fmt: skip
