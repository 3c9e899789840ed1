"""The same macrospin in `cmtj` (GPL; an optional reference, never shipped): also what the test of agreement uses."""

from types import ModuleType
from typing import Any

from mock_hw.physics import DeviceParameters
from mock_hw.physics._constants import MU_0


def macrospin(
    cmtj: ModuleType,
    p: DeviceParameters,
    voltage: float,
    width: float,
    temperature: float,
    *,
    seed: int,
    start: tuple[float, float, float] = (0.0, 0.0, 1.0),
    out_of_plane: float = 0.0,
    delay: float = 0.0,
) -> Any:
    """A junction of one free layer `p` that gets one pulse, `delay` seconds after its start.

    `cmtj` wants fields in A/m, M_s in tesla and the anisotropy in J/m³; its pulses have vertical edges, so `p.pulse`
    must have them too.
    """
    layer = p.free_layer
    if p.pulse.rise or p.pulse.fall:
        raise ValueError("cmtj's step driver has vertical edges: give a pulse without rise and fall")
    x, y, z = layer.demagnetisation
    tensor = [cmtj.CVector(x, 0, 0), cmtj.CVector(0, y, 0), cmtj.CVector(0, 0, z)]
    free = cmtj.Layer(
        "free", cmtj.CVector(*start), cmtj.CVector(0, 0, 1), layer.magnetisation * MU_0, layer.thickness,
        p.area, tensor, layer.damping,
    )  # fmt: skip
    # cmtj's anisotropy field is 2 K / (mu_0 M_s); B_k and the demagnetising field of a disc are in K here.
    anisotropy = p.macrospin().anisotropy * layer.magnetisation / 2
    per_volt = p.anisotropy_per_volt * layer.magnetisation / 2
    junction = cmtj.Junction([free])
    driver = cmtj.ScalarDriver.getStepDriver(anisotropy, per_volt * voltage, delay, delay + width)
    junction.setLayerAnisotropyDriver("all", driver)
    field = [p.field.in_plane / MU_0, 0.0, (p.field.out_of_plane + out_of_plane) / MU_0]
    axes = [cmtj.ScalarDriver.getConstantDriver(value) for value in field]
    junction.setLayerExternalFieldDriver("all", cmtj.AxialDriver(*axes))
    if temperature:
        junction.setLayerTemperatureDriver("all", cmtj.ScalarDriver.getConstantDriver(temperature))
    if hasattr(free, "setSeed"):
        junction.setLayerSeed("all", seed)
    return junction
