"""Which boxes there are: what the VISA library lists or somebody names, and what each says it is."""

import contextlib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyvisa
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource

import drivers
from drivers import ArrayBoard

from .._errors import BenchError
from ._classic_roles import ADAPTERS
from ._resource import misspelt, unreachable
from .adapters import is_model

_PATIENCE = 1000  # ms for the answer; a box that is listed answers in a few
_TALKS = re.compile(
    r".*::(INSTR|SOCKET|RAW)", re.IGNORECASE
)  # interfaces and backplanes are listed beside boxes
_NOT_ASKED = "not asked: what is behind a serial port may take a question for a command; a baud rate asks it"


@dataclass(frozen=True)
class FoundBox:
    """A box at a VISA resource.

    `identity`: its answer to `*IDN?`, and where none came `trouble` says why; `driver` and `role`: of a bench file,
    empty where no driver of ours is for it; `baud_rate`: of a serial port that was asked.
    """

    resource: str
    identity: str = ""
    trouble: str = ""
    driver: str = ""
    role: str = ""
    baud_rate: int | None = None


def find_boxes(
    resources: Iterable[str] | None = None, *, visa_library: str = "", baud_rate: int | None = None
) -> list[FoundBox]:
    """Ask `*IDN?` of each of the resources, or of all that the VISA library lists; nothing else is sent.

    Serial ports are asked at `baud_rate` alone. No library lists raw sockets: name them. Raises BenchError where the
    library cannot be loaded or a resource is misspelt.
    """
    try:
        manager = pyvisa.ResourceManager(visa_library)
    except (OSError, ValueError) as error:
        raise BenchError(unreachable("ASRL1::INSTR", error)) from error
    with _quiet():
        named = list(dict.fromkeys(_listed(manager) if resources is None else resources))
        for resource in named:
            if wrong := misspelt(resource, visa_library):
                raise BenchError(wrong)
        return [_look(manager, resource, baud_rate) for resource in named]


def array_size(box: FoundBox, visa_library: str) -> tuple[int, int] | None:
    """Ask a board for rows and columns; None where it is no board or does not say."""
    if box.role != "board":
        return None
    options: dict[str, Any] = {} if box.baud_rate is None else {"baud_rate": box.baud_rate}
    with contextlib.suppress(Exception):
        board: Any = ArrayBoard(box.resource, visa_library=visa_library, **options)
        try:
            rows, columns = board.size
            return int(rows), int(columns)
        finally:
            board.close()
    return None


def _listed(manager: pyvisa.ResourceManager) -> list[str]:
    return [resource for resource in manager.list_resources("?*") if _TALKS.fullmatch(resource)]


def _look(manager: pyvisa.ResourceManager, resource: str, baud_rate: int | None) -> FoundBox:
    serial = resource.upper().startswith("ASRL")
    if serial and baud_rate is None:
        return FoundBox(resource, trouble=_NOT_ASKED)
    rate = baud_rate if serial else None
    try:
        identity = _identity(manager, resource, rate)
    except Exception as error:  # VISA libraries raise what they like
        return FoundBox(resource, trouble=_why(resource, error), baud_rate=rate)
    driver, role = _player(identity)
    return FoundBox(resource, identity, "", driver, role, rate)


def _identity(manager: pyvisa.ResourceManager, resource: str, baud_rate: int | None) -> str:
    options: dict[str, Any] = {} if baud_rate is None else {"baud_rate": baud_rate}
    box = manager.open_resource(resource, open_timeout=_PATIENCE, timeout=_PATIENCE, **options)
    try:
        if not isinstance(box, MessageBasedResource):
            raise BenchError("it takes no questions")
        box.write_termination = "\n"
        if baud_rate is not None or resource.upper().endswith("SOCKET"):
            box.read_termination = "\n"
        said = box.query("*IDN?").strip()
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in said)
    finally:
        box.close()


def _player(identity: str) -> tuple[str, str]:
    """Give the driver and the role of a box that says this, or two empty texts."""
    driver = drivers.identify(identity)
    if driver is not None:
        return driver.__name__, "board"
    for role, adapters in ADAPTERS.items():
        for adapter in adapters:
            if is_model(identity, adapter.models):
                return adapter.driver, role
    return "", ""


def _why(resource: str, error: Exception) -> str:
    if isinstance(error, pyvisa.errors.VisaIOError) and error.error_code == StatusCode.error_timeout:
        return f"does not answer *IDN? within {_PATIENCE / 1000:g} s"
    return unreachable(resource, error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what pyvisa-py warns of: that it lists less without packages that nobody needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
