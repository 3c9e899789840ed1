"""The wires of a lab: each box on the one that the lab file says, and one adapter for those on the GPIB."""

import contextlib
from collections.abc import Iterator, Mapping

from mock_hw._errors import LabError
from mock_hw._lab_file import AnyBox, LabSettings
from mock_hw._wires import Box, HislipWire, PrologixWire, SerialWire, TcpWire, Vxi11Wire, Wire

_WIRES = {"tcp": TcpWire, "hislip": HislipWire, "vxi11": Vxi11Wire}


class LabWires:
    """Serves boxes from `serve` to `close`; `resources`: the VISA resource string of each, and of the `prologix`."""

    def __init__(self, settings: LabSettings) -> None:
        self._settings = settings
        self._opened: list[Wire | PrologixWire] = []
        self.resources: dict[str, str] = {}

    def serve(self, boxes: Mapping[str, Box]) -> None:
        """Serve boxes by their names; raises LabError where a port, or a pseudo-terminal, cannot be had."""
        on_gpib: dict[int, Box] = {}
        for name, settings in self._settings.boxes.items():
            if settings.address is None:
                with _named(f"box {name!r}", _place(settings)):
                    wire = _wire(settings, boxes[name])
                self._opened.append(wire)
                self.resources[name] = wire.resource
            else:
                on_gpib[settings.address] = boxes[name]
                self.resources[name] = PrologixWire.resource_at(settings.address)
        if on_gpib:
            at = self._settings.prologix
            with _named("the GPIB", f"{at.host}:{at.port}"):
                adapter = PrologixWire(on_gpib, host=at.host, port=at.port)
            self._opened.append(adapter)
            self.resources["prologix"] = adapter.resource

    def close(self) -> None:
        """Close every wire."""
        for wire in self._opened:
            wire.close()
        self._opened.clear()
        self.resources.clear()


def _wire(settings: AnyBox, box: Box) -> Wire:
    if settings.wire == "serial":
        return SerialWire(box)
    return _WIRES[settings.wire](box, host=settings.host, port=settings.port)


def _place(settings: AnyBox) -> str:
    return f"{settings.host}:{settings.port}" if settings.wire != "serial" else "a pseudo-terminal"


@contextlib.contextmanager
def _named(what: str, where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabError(f"{what} cannot be served on {where}: {error.strerror or error}") from error
