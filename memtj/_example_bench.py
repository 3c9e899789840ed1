"""The shipped example bench, pointed at another resource and, where it is simulated, at another device."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import instruments

if TYPE_CHECKING:
    from mock_hw.physics import DeviceParameters


def example_bench(resource: str, device: "DeviceParameters | None" = None) -> str:
    """Return the example bench file with `resource` as the VISA resource of its board.

    With a simulated `device` other than the default, limits and resistance are those of its model.
    """
    text = Path(instruments.__file__).with_name("example_bench.toml").read_text(encoding="utf-8")
    changes = {"resource": f'"{resource}"'}
    if device is not None:
        volts, seconds = device.limits()
        highest = device.resistance_parallel * (1 + device.junction.tmr)
        changes |= {
            "pulse_voltage": f"{volts:g}",
            "pulse_width": f"{seconds:g}",
            "resistance": f"{highest:.4g}",
        }
        changes |= {"device": f'"{device.name}"', "diameter": f"{device.junction.diameter:g}", "stack": '""'}
    for key, value in changes.items():
        said = f"{key} = {value}"
        text, count = re.subn(
            rf"^{key} = (?:\".*?\"|\S+)", lambda _, said=said: said, text, flags=re.MULTILINE
        )
        assert count == 1, f"the example bench has one {key}"
    return text
