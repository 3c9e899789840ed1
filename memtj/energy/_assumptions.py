"""What no file of ours holds: numbers that are assumed, each with its source, and what others have published."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memtj._errors import CommandError

from ._terms import Level

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Assumed(_Table):
    """One number in SI units, and where it comes from; a laboratory that has measured it says so."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    source: _Text
    standing: Literal["assumed", "measured"] = "assumed"


class Published(_Table):
    """A generator that others have published, in SI units; what could not be read in the source is left out.

    `verified`: the numbers were read in the publication's own title, abstract or text.
    """

    name: _Text
    source: _Text
    how: Literal["chip", "device", "simulated", "software"]
    level: Level
    verified: bool
    joules_per_bit: _Positive | None = None
    area: _Positive | None = None
    bits_per_second: _Positive | None = None
    node: _Positive | None = None
    note: str = ""


class Assumptions(_Table):
    """The whole file; units in `assumptions.toml`."""

    line_capacitance: Assumed
    half_voltage: Assumed
    conversion_energy: Assumed
    comparison_energy: Assumed
    hold_voltage: Assumed
    magnet_power: Assumed
    wire_energy: Assumed
    host_power: Assumed
    network_power: Assumed
    network_seconds: Assumed
    junction_diameter: Assumed
    cell_area: Assumed
    array_efficiency: Assumed
    node: Assumed
    energy_exponent: Assumed
    area_exponent: Assumed
    published: tuple[Published, ...]


def load_assumptions(path: Path | None = None) -> Assumptions:
    """Load the shipped assumptions, with those that a TOML file of the same form has in place of them.

    Its `[[published]]` come after the shipped ones. Raises CommandError where the file is not right.
    """
    content: dict[str, Any] = tomllib.loads(
        (resources.files("memtj.energy") / "assumptions.toml").read_text("utf-8")
    )
    try:
        if path is not None:
            own = tomllib.loads(path.read_text("utf-8-sig"))
            more = own.pop("published", [])
            content = {**content, **own, "published": [*content["published"], *more]}
        return Assumptions.model_validate(content)
    except OSError as error:
        raise CommandError(f"cannot read the assumptions {path}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:  # TOML and text that are wrong are ValueErrors too
        raise CommandError(f"the assumptions {path} are wrong: {first_error(error)}") from error


def first_error(error: Exception) -> str:
    """Say in a few words what is wrong first with what was validated."""
    if not isinstance(error, ValidationError):
        return str(error)
    wrong = error.errors()[0]
    return f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
