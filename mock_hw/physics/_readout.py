"""From a junction's state to a reading in ohms: conductance, bias, temperature, settling, noise."""

import math

import numpy as np
from numpy.typing import NDArray

from mock_hw._arguments import Real, Reals, takes
from mock_hw.physics._constants import BOLTZMANN, ELECTRON
from mock_hw.physics._parameters import REFERENCE_TEMPERATURE, DeviceParameters

Floats = NDArray[np.floating]


@takes(cos_theta=Reals(), voltage=Real(), temperature=Real(0), parallel=Reals(), tmr=Reals())
def resistance(
    parameters: DeviceParameters,
    cos_theta: Floats | float,
    *,
    voltage: float = 0.0,
    temperature: float = REFERENCE_TEMPERATURE,
    parallel: Floats | float = 1.0,
    tmr: Floats | float = 1.0,
) -> Floats:
    """Resistance in ohms where the free layer's angle to the reference layer has the cosine `cos_theta`.

    The conductance is linear in it. R_P(V) = R_P / (1 + c V²), TMR(V) = TMR₀ / (1 + (V / V_h)²), both linear in the
    temperature; `parallel` and `tmr` are a cell's own factors on R_P and TMR₀.
    """
    j, warmer = parameters.junction, temperature - REFERENCE_TEMPERATURE
    r_p = parameters.resistance_parallel * (1 + j.resistance_per_kelvin * warmer) * np.asarray(parallel)
    r_p = r_p / (1 + j.resistance_curvature * voltage**2)
    ratio = j.tmr * max(0.0, 1 + j.tmr_per_kelvin * warmer) * np.asarray(tmr)
    ratio = ratio / (1 + (voltage / j.tmr_half_voltage) ** 2)
    g_p, g_ap = 1 / r_p, 1 / (r_p * (1 + ratio))
    return 1 / ((g_p + g_ap) / 2 + (g_p - g_ap) / 2 * np.asarray(cos_theta))


def settled(apparent: Floats, settle: float, capacitance: float) -> Floats:
    """What a junction reads `settle` seconds after the read voltage: the line charges with R · C, the current rises."""
    if capacitance == 0:
        return apparent
    return apparent / -np.expm1(-settle / (apparent * capacitance))


def current_noise(
    parameters: DeviceParameters, resistance: Floats, voltage: float, settle: float, temperature: float
) -> Floats:
    """Standard deviation of one reading's current in amperes, in the bandwidth 1 / (2 settle) of an average.

    Shot and Johnson noise of a tunnel junction together are 2 e I coth(e V / 2 k T); the amplifier's adds.
    """
    bias = max(abs(voltage), 1e-9)
    tunnel = 2 * ELECTRON * bias / resistance / math.tanh(ELECTRON * bias / (2 * BOLTZMANN * temperature))
    return np.sqrt((tunnel + parameters.readout.amplifier_noise**2) / (2 * settle))


def convert(parameters: DeviceParameters, readings: Floats) -> Floats:
    """Readings as the converter gives them: steps of `converter_range` / 2^bits, clipped to the range."""
    step = parameters.readout.converter_range / 2**parameters.readout.converter_bits
    return np.clip(np.rint(readings / step) * step, 0.0, parameters.readout.converter_range)
