"""Ways round torch's plain calls: compiled and scripted code, transforms, loaders, seeds, made-up tensors."""

import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset, WeightedRandomSampler

from sampler import SamplerError, SoftwareSource, hardware_noise, normals
from sampler.hook import _entry_points
from sampler.hook._entry_points import REFUSED, entry_point


@pytest.fixture(autouse=True)
def untouched_generator():
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)


def bits(count: int, seed: int = 3) -> np.ndarray:
    return SoftwareSource(seed).read(count)


def test_compiled_code_runs_eagerly_and_draws_from_the_source() -> None:
    def draw() -> torch.Tensor:
        return torch.randn(4)

    compiled = torch.compile(draw, backend="eager")
    with hardware_noise(SoftwareSource(3)):
        got = compiled()
    with hardware_noise(SoftwareSource(3)):
        assert torch.equal(torch.compile(draw, backend="eager")(), got)
    assert torch.equal(got, torch.from_numpy(normals(bits(32 * 4))))


def test_a_compiled_function_equals_the_eager_one_also_where_it_was_compiled_before() -> None:
    def draw(x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x + torch.randn_like(x), 0.5) * torch.rand(())

    x = torch.ones(8)
    compiled = torch.compile(draw, backend="aot_eager")
    with torch.random.fork_rng():
        compiled(x)
    results = []
    for function in (draw, compiled, compiled):
        source = SoftwareSource(3)
        with hardware_noise(source):
            results.append(function(x))
        assert source.bits == (8 + 8 + 1) * 32
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_a_compiled_graph_that_is_called_directly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torch._inductor.output_code")
    real = sys.modules.get("torch._inductor.output_code")
    if real is None:
        module.CompiledFxGraph = type("CompiledFxGraph", (), {"__call__": lambda self, inputs: inputs})
        monkeypatch.setitem(sys.modules, "torch._inductor.output_code", module)
    graph_class = entry_point("torch._inductor.output_code", "CompiledFxGraph")
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match=r"torch\.compile"):
        graph_class.__call__(None, [])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_and_traced_code_draws_from_the_source() -> None:
    scripted = torch.jit.script(_scripted)
    with torch.random.fork_rng():
        traced = torch.jit.trace(_scripted, torch.ones(3), check_trace=False)
    for function in (scripted, traced):
        for _ in range(3):  # the interpreter optimises from the second call on
            with hardware_noise(SoftwareSource(3)):
                got = function(torch.ones(3))
            with hardware_noise(SoftwareSource(3)):
                assert torch.equal(got, _scripted(torch.ones(3)))
    refused = torch.jit.script(_scripted_poisson)
    with hardware_noise(SoftwareSource(3)), pytest.raises(RuntimeError, match="does not serve"):
        refused(torch.ones(3))


def _scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.dropout(x + torch.rand_like(x), 0.5, True) + torch.randn(3)


def _scripted_poisson(x: torch.Tensor) -> torch.Tensor:
    return torch.poisson(x)


VMAPPED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "randn": (lambda x: x + torch.randn(4), 4 * 32),
    "rand_like": (lambda x: torch.rand_like(x), 4 * 32),
    "dropout": (lambda x: F.dropout(x), 4 * 32),
    "exponential_": (lambda x: x.clone().exponential_(), 4 * 32),
    "multinomial": (lambda x: torch.multinomial(x, 2, replacement=True), 2 * 64),  # torch has no same
    "randint": (lambda x: torch.randint(0, 1 << 20, (4,)) + x, 4 * 32),
}


@pytest.mark.parametrize("name", VMAPPED)
def test_vmap_draws_from_the_source_once_or_for_each(name: str) -> None:
    function, each = VMAPPED[name]
    for randomness, times in (("different", 3), ("same", 1))[: 1 if name == "multinomial" else 2]:
        source = SoftwareSource(3)
        with hardware_noise(source):
            rows = torch.func.vmap(function, randomness=randomness)(torch.ones(3, 4))
        assert rows.shape[0] == 3
        assert source.bits == each * times
        if times == 1:
            assert torch.equal(rows[0], rows[1])
    source = SoftwareSource(3)
    with hardware_noise(source), pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(function)(torch.ones(3, 4))
    assert source.bits == 0


def test_tensors_without_numbers_read_nothing() -> None:
    from torch._subclasses import FakeTensorMode

    source = SoftwareSource(3)
    with hardware_noise(source):
        assert torch.rand(3, device="meta").is_meta
        assert torch.empty(3, device="meta").exponential_().is_meta
        with FakeTensorMode():
            torch.rand(3) + torch.empty(3).normal_()
    assert source.bits == 0


def test_seeds_change_nothing() -> None:
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(7)
    with hardware_noise(SoftwareSource(3)):
        torch.manual_seed(5)
        first = torch.randn(2, generator=torch.manual_seed(5))
        second = torch.randn(2, generator=generator)
        with torch.random.fork_rng():
            third = torch.randn(2)
        with pytest.raises(SamplerError, match="operating system"):
            torch.seed()
        with pytest.raises(SamplerError, match="operating system"):
            torch.random.seed()
    assert torch.equal(torch.cat([first, second, third]), torch.from_numpy(normals(bits(6 * 32))))
    # The program moved torch's generator, which nothing has read: put it back for the other tests.
    torch.set_rng_state(state)


class Noisy(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(2)


def plain_data() -> TensorDataset:
    return TensorDataset(torch.arange(40))


def order(loader: DataLoader[Any]) -> list[int]:
    return [int(i) for (batch,) in loader for i in batch]


def test_a_loader_shuffles_by_the_source() -> None:
    for sampler in (None, WeightedRandomSampler([1.0] * 40, 40, replacement=False)):
        loader = DataLoader(plain_data(), batch_size=8, shuffle=sampler is None, sampler=sampler)
        orders = []
        for seed in (3, 3, 4):
            with hardware_noise(SoftwareSource(seed)):
                orders.append(order(loader))
        assert sorted(orders[0]) == list(range(40))
        assert orders[0] == orders[1] != orders[2]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
def test_workers_may_load_but_not_draw(failing_workers: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        alone = DataLoader(plain_data(), batch_size=8, shuffle=True)
        options: dict[str, Any] = {"num_workers": 1, "multiprocessing_context": "fork"}
        with hardware_noise(SoftwareSource(3)):
            expected = order(alone)
        with hardware_noise(SoftwareSource(3)):
            assert order(DataLoader(plain_data(), batch_size=8, shuffle=True, **options)) == expected
        with hardware_noise(SoftwareSource(3)), pytest.raises(SamplerError, match="forked child"):
            list(DataLoader(Noisy(), **options))
        with hardware_noise(SoftwareSource(3)), pytest.raises(SamplerError, match="started by spawn"):
            list(DataLoader(Noisy(), num_workers=1, multiprocessing_context="spawn"))
        with torch.random.fork_rng():
            before = iter(DataLoader(Noisy(), **options))
        with hardware_noise(SoftwareSource(3)), pytest.raises(SamplerError, match="started before"):
            next(before)
        assert len(list(before)) == 6


def test_what_needs_the_same_noise_twice_or_draws_by_itself_is_refused() -> None:
    from torch.utils.data.datapipes.iter import IterableWrapper

    with hardware_noise(SoftwareSource(3)):
        with pytest.raises(SamplerError, match="DistributedSampler"):
            list(DistributedSampler(plain_data(), 2, 0))
        assert list(DistributedSampler(plain_data(), 2, 0, shuffle=False)) == list(range(0, 40, 2))
        assert sorted(DistributedSampler(plain_data(), 1, 0)) == list(range(40))
        with pytest.raises(SamplerError, match="shuffler"):
            list(IterableWrapper(range(4)).shuffle())
    with torch.random.fork_rng():
        assert sorted(IterableWrapper(range(4)).shuffle()) == [0, 1, 2, 3]


def test_a_brownian_tree_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # torchsde is no dependency of ours: a stand-in with its class at its place.
    package = tmp_path / "torchsde" / "_brownian"
    package.mkdir(parents=True)
    (tmp_path / "torchsde" / "__init__.py").write_text(
        "from ._brownian.brownian_interval import BrownianInterval\n"
    )
    (package / "__init__.py").write_text("")
    (package / "brownian_interval.py").write_text(
        "class BrownianInterval:\n    def __init__(self, t0, t1):\n        self.t0, self.t1 = t0, t1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    _entry_points._import_first.cache_clear()
    try:
        with hardware_noise(SoftwareSource(3)):
            import torchsde  # pyright: ignore[reportMissingImports]

            with pytest.raises(SamplerError, match="Brownian tree"):
                torchsde.BrownianInterval(0, 1)
        assert torchsde.BrownianInterval(0, 1).t1 == 1
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchsde"]:
            del sys.modules[name]
        _entry_points._import_first.cache_clear()


def test_this_torch_has_every_entry_point_that_is_refused() -> None:

    for module, owner, attribute, _ in REFUSED:
        if not module.startswith("torchsde"):
            assert attribute in vars(entry_point(module, owner)), (module, owner, attribute)
