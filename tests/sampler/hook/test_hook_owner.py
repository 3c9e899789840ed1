"""One hook, one process, one thread, one task: others are refused, and afterwards torch is as it was."""

import asyncio
import contextlib
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from sampler import SamplerError, SoftwareSource, hardware_noise
from sampler.hook import streams_noise, threads_noise
from sampler.hook._entry_points import REFUSED, entry_point
from sampler.sources import streams_of


def torch_draws_by_itself() -> bool:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        a = torch.randn(4), torch.rand(2), torch.randperm(5), torch.empty(3).exponential_()
        torch.manual_seed(0)
        b = torch.randn(4), torch.rand(2), torch.randperm(5), torch.empty(3).exponential_()
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def entry_points() -> list[object]:
    """What the hook replaces of torch's functions and methods, as it is now."""
    targets = [(entry_point(module, owner), name) for module, owner, name, _ in REFUSED]
    return [vars(target)[name] for target, name in targets if target is not None]


def _leave_by(reason: type[BaseException] | None) -> None:
    with hardware_noise(SoftwareSource(1)):
        torch.randn(3)
        if reason is not None:
            raise reason


def test_everything_is_put_back_200_times_also_after_an_exception_or_an_interrupt() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        before = torch.randn(8)
    places = entry_points()
    for turn in range(200):
        reason = (None, KeyError, KeyboardInterrupt)[turn % 3]
        with contextlib.nullcontext() if reason is None else pytest.raises(reason):
            _leave_by(reason)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        assert torch.equal(torch.randn(8), before)
    assert torch_draws_by_itself()
    assert entry_points() == places
    x = torch.ones(4).requires_grad_()
    checkpoint(lambda t: F.dropout(t) * t, x, use_reentrant=False).sum().backward()
    assert x.grad is not None


def test_one_hook_at_a_time() -> None:
    with hardware_noise(SoftwareSource(1)):
        with pytest.raises(SamplerError, match="one at a time"), hardware_noise(SoftwareSource(2)):
            pass
        torch.randn(2)


def test_another_thread_is_refused() -> None:
    with hardware_noise(SoftwareSource(1)), ThreadPoolExecutor(1) as thread:
        with pytest.raises(SamplerError, match="another thread"):
            thread.submit(torch.randn, 3).result()


def test_threads_with_a_hook_each_draw_from_their_own_streams() -> None:
    drawn: dict[int, torch.Tensor] = {}
    both = threading.Barrier(2)

    def draw(seed: int) -> None:
        with streams_noise(streams_of(SoftwareSource(seed), 3)) as hook:
            both.wait(10)
            for _ in range(50):
                drawn[seed] = torch.randn(3, 100)
            with pytest.raises(SamplerError, match="one at a time"), streams_noise([]):
                pass
        assert hook.draws == 50
        with pytest.raises(SamplerError, match="another thread"):
            torch.randn(3)

    with threads_noise():
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(draw, (1, 2)))
        with pytest.raises(SamplerError, match="another thread"):
            torch.randn(3)
        with pytest.raises(SamplerError, match="one at a time"), hardware_noise(SoftwareSource(2)):
            pass
    for seed, found in drawn.items():
        with streams_noise(streams_of(SoftwareSource(seed), 3)):
            assert torch.equal([torch.randn(3, 100) for _ in range(50)][-1], found)
    assert torch_draws_by_itself()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_refused() -> None:
    with hardware_noise(SoftwareSource(1)), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            try:
                torch.randn(3)
            except SamplerError as error:
                os._exit(7 if "forked child" in str(error) else 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_is_refused(reentrant: bool) -> None:
    x = torch.ones(4).requires_grad_()
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match="checkpointing"):
        checkpoint(F.dropout, x, use_reentrant=reentrant)


def test_a_draw_in_a_backward_pass_is_refused() -> None:
    x = torch.ones(4).requires_grad_()
    y = checkpoint(F.dropout, x, use_reentrant=False)
    assert isinstance(y, torch.Tensor)
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match="backward pass"):
        y.sum().backward()


def test_a_hook_is_not_opened_in_another_thread_or_task_meanwhile() -> None:
    def opened() -> str:
        try:
            with hardware_noise(SoftwareSource(2)):
                return "opened"
        except SamplerError as error:
            return str(error)

    with hardware_noise(SoftwareSource(1)), ThreadPoolExecutor(1) as thread:
        assert "one at a time" in thread.submit(opened).result()
        first = torch.randn(3)
    with hardware_noise(SoftwareSource(1)):
        assert torch.equal(torch.randn(3), first)
    assert opened() == "opened"


def test_another_asyncio_task_is_refused_and_the_opener_s_own_is_served() -> None:
    async def draw() -> torch.Tensor:
        return torch.randn(3)

    async def program() -> tuple[torch.Tensor, list[object]]:
        with hardware_noise(SoftwareSource(1)):
            others = [asyncio.create_task(draw()) for _ in range(2)]
            mine = await draw()
            return mine, list(await asyncio.gather(*others, return_exceptions=True))

    mine, others = asyncio.run(program())
    with hardware_noise(SoftwareSource(1)):
        assert torch.equal(mine, torch.randn(3))
        with pytest.raises(SamplerError, match="asyncio task"):
            asyncio.run(draw())
    assert all(isinstance(error, SamplerError) and "asyncio task" in str(error) for error in others)


class _DrawsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return x.clone()

    @staticmethod
    def backward(ctx: object, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0] + torch.randn_like(grads[0])


def test_a_function_or_a_gradient_hook_that_draws_in_the_backward_pass_is_refused() -> None:
    for make in (_DrawsBackward.apply, F.relu):
        x = torch.ones(4, requires_grad=True)
        y = make(x)
        assert isinstance(y, torch.Tensor)
        if make is F.relu:
            x.register_hook(torch.rand_like)
        source = SoftwareSource(1)
        with hardware_noise(source), pytest.raises(SamplerError, match="backward pass"):
            y.sum().backward()
        assert source.bits == 0


def test_checkpointing_of_a_sequence_and_of_diffusers_is_refused() -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel

    layers = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    unet.enable_gradient_checkpointing()
    unet.train()
    with hardware_noise(SoftwareSource(1)):
        with pytest.raises(SamplerError, match="checkpointing"):
            checkpoint_sequential(layers, 2, torch.ones(2, 3, requires_grad=True), use_reentrant=False)
        with pytest.raises(SamplerError, match="checkpointing"):
            unet(torch.ones(1, 1, 8, 8), 1)
        unet.disable_gradient_checkpointing()
        unet(torch.ones(1, 1, 8, 8), 1)
