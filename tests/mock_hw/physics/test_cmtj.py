"""Agreement with an independent macrospin code, `cmtj`, where it is installed (extra `reference`).

Not one number is tuned. Where the two differ for a reason:
- cmtj's constants differ in the sixth digit; its demagnetising field uses the same factors;
- its drivers are read at the start of a step, ours averaged over it, so its edges are up to half a step late: pulses
  end on whole steps and begin 1.5 ns after the start, in which both come to equilibrium by themselves;
- its pulses have vertical edges, so ours get them too;
- its noise is normal, ours three-valued: the same in distribution over the many steps of a pulse.
So distributions are compared, not samples.
"""

import numpy as np
import pytest
from scipy.stats import chi2

from benchmarks._cmtj import macrospin
from mock_hw.physics import DeviceParameters, load_device, simulate

cmtj = pytest.importorskip("cmtj")

FALSE_ALARM = 1e-6
CELLS = 300
BEFORE, AFTER = 1.5e-9, 3e-9
OTHER = {"thermal_stability": 38.0, "damping": 0.06, "magnetisation": 0.9e6}


def vertical(parameters: DeviceParameters, **free_layer: float) -> DeviceParameters:
    layer = parameters.free_layer.model_copy(update=free_layer)
    pulse = parameters.pulse.model_copy(update={"rise": 0.0, "fall": 0.0})
    return parameters.model_copy(update={"free_layer": layer, "pulse": pulse})


def theirs(p: DeviceParameters, voltage: float, width: float, field: float, seed: int) -> int:
    """Cells of CELLS that end antiparallel."""
    ended = 0
    for k in range(CELLS):
        junction = macrospin(
            cmtj, p, voltage, width, 300.0, seed=seed * CELLS + k, start=(0.3, 0.0, 0.95), out_of_plane=field,
            delay=BEFORE,
        )  # fmt: skip
        total = BEFORE + width + AFTER
        junction.runSimulation(total, 1e-12, total / 4, solverMode=cmtj.SolverMode.Heun)
        ended += junction.getLayerMagnetisation("free").z < 0
    return ended


def ours(p: DeviceParameters, voltage: float, width: float, field: float, seed: int) -> float:
    """Probability from 60,000 cells of the same history."""
    start = np.tile([0.3, 0.0, 0.95], (60_000, 1))
    rested = simulate(p, start, settle=BEFORE, out_of_plane=field, seed=seed, threads=2).final
    settings = {"settle": AFTER, "out_of_plane": field, "seed": seed + 10_000, "threads": 2}
    return float((simulate(p, rested, voltage=voltage, width=width, **settings).final[:, 2] < 0).mean())


POINTS = [
    ({}, 1.15, 0.40e-9, 0.0),
    ({}, 1.30, 0.60e-9, 0.0),
    ({}, 1.30, 0.75e-9, 0.0),
    ({}, 1.00, 0.90e-9, 1e-3),
    ({}, 1.45, 0.30e-9, -2e-3),
    (OTHER, 0.95, 0.45e-9, 0.0),
    (OTHER, 1.10, 0.80e-9, 2e-3),
    ({"thermal_stability": 60.0, "damping": 0.015}, 1.5, 0.42e-9, 0.0),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_switching_probability_against_width_voltage_field_and_parameters(seed: int) -> None:
    """χ² over eight points, false-alarm rate 1e-6."""
    statistic, degrees = 0.0, 0
    for parameters, voltage, width, field in POINTS:
        p = vertical(load_device("C"), **parameters)
        mine = ours(p, voltage, width, field, seed)
        seen = theirs(p, voltage, width, field, seed)
        # Wilson's variance: where nearly all or none switch a normal number would be too narrow.
        spread = max(mine * (1 - mine), 3 / CELLS) * (1 / CELLS + 1 / 60_000)
        statistic += (seen / CELLS - mine) ** 2 / spread
        degrees += 1
    assert statistic < chi2.isf(FALSE_ALARM, degrees)


def test_without_noise_the_two_draw_the_same_trajectory() -> None:
    """Within half a step of the precession: their driver is read at the start of a step."""
    p = vertical(load_device("C"))
    start = np.array([0.3, 0.05, 0.95]) / np.linalg.norm([0.3, 0.05, 0.95])
    junction = macrospin(cmtj, p, 1.3, 0.6e-9, 0.0, seed=0, start=tuple(start))
    junction.runSimulation(0.6e-9, 1e-12, 1e-12, solverMode=cmtj.SolverMode.RK4)
    log = junction.getLog()
    m = np.array([log[f"free_m{axis}"] for axis in "xyz"]).T
    mine = simulate(p, start[None], voltage=1.3, width=0.6e-9, temperature=0, every=1).m[:, 0]
    late = np.abs(m[1:] - mine[1 : len(m)]).max(), np.abs(m[1:] - mine[: len(m) - 1]).max()
    assert min(late) < 6e-3
