"""Which class drives which box, and which names a bench file may use."""

import importlib
from dataclasses import dataclass
from importlib.metadata import entry_points

from pymeasure.instruments import Instrument

from ._errors import UnknownDriver
from .array_board import ArrayBoard

GROUP = "memtj.drivers"
_PYMEASURE = "pymeasure.instruments."


@dataclass(frozen=True)
class Known:
    """Models that begin with `model` (second field of the `*IDN?` answer) are driven by `driver`."""

    model: str
    driver: type[Instrument]


known: tuple[Known, ...] = (Known("ARRAY-BOARD", ArrayBoard),)
"""The boxes of this package, in the order in which they are tried."""


def identify(identity: str) -> type[Instrument] | None:
    """Return the class that drives the box with this `*IDN?` answer, or None where none is known."""
    fields = [field.strip() for field in identity.split(",")]
    if len(fields) != 4:
        return None
    return next((entry.driver for entry in known if fields[1].upper().startswith(entry.model)), None)


def resolve(name: str) -> type[Instrument]:
    """Return the driver class that a bench file names.

    `name` is a class of this package ("ArrayBoard"), the path of a class below pymeasure.instruments
    ("pymeasure.instruments.keithley.Keithley2400"), or an entry point of the group "memtj.drivers";
    nothing else is imported. Raises UnknownDriver.
    """
    ours = {entry.driver.__name__: entry.driver for entry in known}
    if name.removeprefix("drivers.") in ours:
        return ours[name.removeprefix("drivers.")]
    if name.startswith(_PYMEASURE):
        return _checked(name, _of_pymeasure(name))
    for point in entry_points(group=GROUP, name=name):
        try:
            return _checked(name, point.load())
        except Exception as error:
            if isinstance(error, UnknownDriver):
                raise
            raise UnknownDriver(f"the driver {name!r} ({point.value}) cannot be imported: {error}") from error
    raise UnknownDriver(
        f"there is no driver {name!r}: give one of {', '.join(sorted(ours))}, the path of a class below "
        f"{_PYMEASURE[:-1]}, or an entry point of the group {GROUP}"
    )


def _of_pymeasure(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownDriver(f"pymeasure has no driver {name!r}: {error}") from error


def _checked(name: str, found: object) -> type[Instrument]:
    if isinstance(found, type) and issubclass(found, Instrument):
        return found
    raise UnknownDriver(f"{name!r} is not a pymeasure Instrument, so it cannot drive anything")
