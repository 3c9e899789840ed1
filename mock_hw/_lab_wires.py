"""The wires of a lab: each box on the one that the lab file says."""

from mock_hw._errors import LabError
from mock_hw._lab_file import AnyBox
from mock_hw._wires import Box, HislipWire, SerialWire, TcpWire, Vxi11Wire, Wire

_WIRES = {"tcp": TcpWire, "hislip": HislipWire, "vxi11": Vxi11Wire}


def wire_of(name: str, settings: AnyBox, box: Box) -> Wire:
    """Serve a box; raises LabError where its port, or a pseudo-terminal, cannot be had."""
    where = f"{settings.host}:{settings.port}" if settings.wire != "serial" else "a pseudo-terminal"
    try:
        if settings.wire == "serial":
            return SerialWire(box)
        return _WIRES[settings.wire](box, host=settings.host, port=settings.port)
    except OSError as error:
        raise LabError(f"box {name!r} cannot be served on {where}: {error.strerror or error}") from error
