"""The bench of a lab: its magnets, the junctions that they and the instruments act on, and the instruments."""

from collections.abc import Callable, Mapping

from mock_hw._array import SimulatedArray
from mock_hw._clock import PACES
from mock_hw._lab_file import (
    Agilent33500Settings,
    InstrumentSettings,
    Keithley2400Settings,
    Keithley2450Settings,
    KepcoBopSettings,
    Keysight81160ASettings,
    LabSettings,
    PaceName,
)
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._magnet import Magnet
from mock_hw.boxes.agilent_33500._commands import agilent_33500
from mock_hw.boxes.keithley_2400._commands import keithley_2400
from mock_hw.boxes.keithley_2450._commands import keithley_2450
from mock_hw.boxes.kepco_bop._commands import kepco_bop
from mock_hw.boxes.keysight_81160a._commands import keysight_81160a
from mock_hw.boxes.lakeshore_425._commands import lakeshore_425


class Bench:
    """Magnets and junctions of a lab by their names; `on_rest` is told of a junction that a pulse has left."""

    def __init__(
        self,
        settings: LabSettings,
        arrays: Mapping[str, SimulatedArray],
        pace: PaceName,
        on_rest: Callable[[str], None],
    ) -> None:
        self.magnets = {
            name: Magnet(
                field_per_ampere=magnet.field_per_ampere, resistance=magnet.resistance,
                inductance=magnet.inductance, clock=PACES[pace],
            )
            for name, magnet in settings.magnets.items()
        }  # fmt: skip
        self.junctions = {
            name: Junction(
                arrays[name], edge=settings.edge_at(name), temperature=junction.temperature, clock=PACES[pace],
                magnet=None if junction.magnet is None else self.magnets[junction.magnet],
                on_rest=lambda name=name: on_rest(name),
            )
            for name, junction in settings.junctions.items()
        }  # fmt: skip

    def instrument(self, name: str, box: InstrumentSettings) -> Instrument:
        """The instrument that a box of the lab file is."""
        if isinstance(box, Agilent33500Settings):
            return agilent_33500(
                self.junctions[box.junction],
                name=name,
                serial_number=box.serial_number,
                attenuation=box.attenuation,
            )
        if isinstance(box, Keysight81160ASettings):
            return keysight_81160a(
                [self.junctions[each] for each in box.junctions],
                name=name,
                serial_number=box.serial_number,
                attenuation=box.attenuation,
            )
        if isinstance(box, Keithley2400Settings):
            return keithley_2400(
                self.junctions[box.junction], serial_number=box.serial_number, leads=box.leads
            )
        if isinstance(box, Keithley2450Settings):
            return keithley_2450(
                self.junctions[box.junction],
                serial_number=box.serial_number,
                leads=box.leads,
                language=box.language,
            )
        supply_or_meter = kepco_bop if isinstance(box, KepcoBopSettings) else lakeshore_425
        return supply_or_meter(self.magnets[box.magnet], serial_number=box.serial_number)
