"""Brownian trees inside the noise hook: refused by name, whoever imports them, and put back afterwards."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from sampler import SamplerError, SoftwareSource, hardware_noise
from sampler.hook._brownian import brownian_trees_refused

# Some of diffusers' schedulers hand a tensor to numpy in a way that numpy 2 has an opinion on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODULE = "diffusers.schedulers.scheduling_dpmsolver_sde"
COSINE = "diffusers.schedulers.scheduling_cosine_dpmsolver_multistep"


class StandInInterval:
    """What diffusers asks of torchsde's BrownianInterval, which is not among our dependencies: noise from a seed."""

    def __init__(
        self, t0: Any, t1: Any, size: Any, dtype: torch.dtype, entropy: int, **_options: Any
    ) -> None:
        self.size, self.dtype, self.entropy = size, dtype, int(entropy)

    def __call__(self, t0: Any, t1: Any) -> torch.Tensor:
        return torch.randn(self.size, generator=torch.Generator().manual_seed(self.entropy), dtype=self.dtype)


@pytest.fixture
def trees_not_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """diffusers' modules of trees, not imported yet, over a stand-in for torchsde."""
    importlib.import_module("diffusers")
    torchsde = ModuleType("torchsde")
    torchsde.BrownianInterval = StandInInterval  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "torchsde", torchsde)
    before = {name: sys.modules.pop(name, None) for name in (MODULE, COSINE)}
    yield
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def one_step(kind: Any, **options: Any) -> torch.Tensor:
    scheduler = kind(**options)
    scheduler.set_timesteps(3)
    x = torch.ones(1, 1, 4, 4)
    return scheduler.step(x / 2, scheduler.timesteps[0], x).prev_sample


def schedulers() -> dict[str, Any]:
    return {
        "DPMSolverSDEScheduler": importlib.import_module(MODULE).DPMSolverSDEScheduler,
        "CosineDPMSolverMultistepScheduler": importlib.import_module(
            COSINE
        ).CosineDPMSolverMultistepScheduler,
    }


@pytest.mark.usefixtures("trees_not_imported")
@pytest.mark.parametrize("name", ["DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler"])
@pytest.mark.parametrize("imported", ["before", "inside"])
def test_schedulers_with_a_tree_are_refused_inside_the_hook(name: str, imported: str) -> None:
    if imported == "before":
        schedulers()
    source = SoftwareSource(1)
    with hardware_noise(source), pytest.raises(SamplerError, match=rf"Brownian tree.*{name}"):
        one_step(schedulers()[name])
    assert source.bits == 0
    assert one_step(schedulers()[name]).shape == (1, 1, 4, 4)


@pytest.mark.usefixtures("trees_not_imported")
def test_a_tree_made_before_gives_no_noise_inside() -> None:
    module = importlib.import_module(MODULE)
    sampler = module.BrownianTreeNoiseSampler(torch.ones(2, 3), 0.1, 10.0, seed=3)
    expected = sampler(1.0, 2.0)
    source = SoftwareSource(1)
    with hardware_noise(source):
        for tree in (sampler, sampler.tree):
            with pytest.raises(SamplerError, match="same noise twice"):
                tree(1.0, 2.0)
    assert source.bits == 0
    assert torch.equal(sampler(1.0, 2.0), expected)


@pytest.mark.usefixtures("trees_not_imported")
def test_all_is_put_back_and_nothing_is_imported_for_it() -> None:
    finders = list(sys.meta_path)
    with brownian_trees_refused():
        assert MODULE not in sys.modules
        module = importlib.import_module(MODULE)
        refused = vars(module.BatchedBrownianTree)["__init__"]
    assert sys.meta_path == finders
    assert vars(module.BatchedBrownianTree)["__init__"] is not refused
    with brownian_trees_refused():
        pass
    importlib.reload(module)
    assert module.BrownianTreeNoiseSampler(torch.ones(2), 0.1, 1.0, seed=1)(0.2, 0.3).shape == (2,)
