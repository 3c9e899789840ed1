"""What the boards and junctions of a lab are made of: their devices, with the edges of what pulses them."""

import hashlib
import os
from collections.abc import Callable

from mock_hw._errors import LabError
from mock_hw._lab_file import BoxSettings, JunctionSettings, LabSettings
from mock_hw.faults._cells import FaultyDevice
from mock_hw.physics import DeviceError, DeviceParameters, MacrospinDevice, load_device, table_of
from mock_hw.physics._parameters import Pulse

_TEN, _NINETY = (
    0.1,
    0.9,
)  # between which instruments measure their edges; the model's are straight from end to end
_LEAST_WIDTHS = 4  # steps of a table's widths beyond the pulse that is all edges


def devices_of(settings: LabSettings, device: str | os.PathLike[str] | None) -> dict[str, DeviceParameters]:
    """The devices of all boards and junctions by their names; `device` stands in for every one of them.

    Raises `LabError` where there is none, or where a board's limits or a temperature are beyond its model.
    """
    boards = {name: _of_board(name, box, device) for name, box in settings.boards.items()}
    return boards | {
        name: _of_junction(name, junction, settings.edge_at(name), device)
        for name, junction in settings.junctions.items()
    }


def _load(
    what: str, box: BoxSettings | JunctionSettings, device: str | os.PathLike[str] | None
) -> DeviceParameters:
    name = box.device if device is None else str(device)
    try:
        parameters = load_device(name)
    except DeviceError as error:
        raise LabError(f"{what}: {error}") from error
    low, high = parameters.temperatures()
    if not low <= box.temperature <= high:
        raise LabError(
            f"{what}: a temperature of {box.temperature:g} K is outside the {low:g} to {high:g} K that the "
            f"model of device {name!r} covers: stay within, or widen table.temperature in a device file"
        )
    return parameters


def _of_junction(
    name: str, junction: JunctionSettings, edge: float, device: str | os.PathLike[str] | None
) -> DeviceParameters:
    """The device of a junction, whose pulses have the edges of the generator at it, not those of its file."""
    parameters = _load(f"junction {name!r}", junction, device)
    slope = edge / (_NINETY - _TEN)
    shortest, longest, step = parameters.table.width
    if slope > longest - _LEAST_WIDTHS * step:
        raise LabError(
            f"junction {name!r}: device {parameters.name!r} is tabulated up to {longest:g} s, and edges of {edge:g} s "
            f"alone last {slope:g} s: take another device, or widen table.width in its file"
        )
    axes = parameters.table.model_copy(update={"width": (max(shortest, slope), longest, step)})
    return parameters.model_copy(update={"pulse": Pulse(rise=slope, fall=slope), "table": axes})


def _of_board(name: str, box: BoxSettings, device: str | os.PathLike[str] | None) -> DeviceParameters:
    parameters = _load(f"box {name!r}", box, device)
    volts, seconds = parameters.limits()
    for key, given, most, unit in (
        ("voltage", box.limits.voltage, volts, "V"),
        ("width", box.limits.width, seconds, "s"),
    ):
        if given is not None and given > most:
            raise LabError(
                f"box {name!r}: limits.{key} = {given:g} {unit} is beyond the {most:g} {unit} that the model of "
                f"device {box.device!r} covers: lower it, or leave it out"
            )
    return parameters


def cells_of(
    parameters: DeviceParameters, cells: int, seed: int, progress: Callable[[str], None]
) -> FaultyDevice:
    """The cells of one box; raises `LabError` where its model cannot be had.

    A device whose switching table is not there yet takes minutes, of which `progress` is told.
    """

    def made(done: int, of: int) -> None:
        progress(f"making the switching table of {parameters.name}, once: {done} of {of}")

    try:
        sound = MacrospinDevice(parameters, cells, seed, table=table_of(parameters, made))
    except DeviceError as error:
        raise LabError(f"{parameters.name}: {error}") from error
    return FaultyDevice(sound, largest_pulse=parameters.limits()[0])


def device_name(parameters: DeviceParameters) -> str:
    """What the state file calls a device: its name, and a digest of all that its file says."""
    # Of what the file says, so that a state fits it still when a later version knows more about devices.
    digest = hashlib.sha256(parameters.model_dump_json(exclude_unset=True).encode()).hexdigest()
    return f"{parameters.name} ({digest[:16]})"
