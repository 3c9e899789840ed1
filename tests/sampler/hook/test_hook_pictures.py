"""With pictures=N each picture's noise is its own stream's, whatever draws it."""

import numpy as np
import pytest
import torch

from sampler import SamplerError, SoftwareSource, hardware_noise, normals, picture_generator, uniforms
from sampler.hook import PaddingStream, streams_noise


def bits(count: int, seed: int = 3, stream: int = 0) -> np.ndarray:
    return SoftwareSource(seed, stream).read(count)


def test_pictures_are_filled_slice_by_slice_from_their_own_streams() -> None:
    with hardware_noise(SoftwareSource(3), pictures=3) as noise:
        first, second = torch.randn(3, 2, 5), torch.rand(3, 4)
        mask = torch.bernoulli(torch.full((3, 4), 0.5))
    assert noise.draws == 3
    assert noise.cpu_seconds > 0
    for b in range(3):
        raw = bits(32 * 18, stream=b + 1)
        assert torch.equal(first[b], torch.from_numpy(normals(raw[:40])).view(2, 5))
        assert torch.equal(second[b], torch.from_numpy(uniforms(raw[40:56], 24)))
        assert torch.equal(mask[b], torch.from_numpy(uniforms(raw[56:], 24) < 0.5).float())


def test_a_draw_that_is_not_of_the_pictures_needs_a_bound_generator() -> None:
    with hardware_noise(SoftwareSource(3), pictures=3) as noise:
        for draw in (lambda: torch.randn(2, 3), lambda: torch.randn(()), lambda: torch.randperm(3)):
            with pytest.raises(SamplerError, match="picture_generator"):
                draw()
        with pytest.raises(SamplerError, match="picture_generator"):
            torch.randn(2, generator=torch.Generator())
        got = torch.randn(1, 4, generator=picture_generator(1))
        again = torch.randn(4, generator=noise.picture_generator(1))
        order = torch.randperm(5, generator=picture_generator(0))
        with pytest.raises(SamplerError, match="none of the 3"):
            noise.picture_generator(3)
    raw = normals(bits(32 * 8, stream=2))
    assert torch.equal(torch.cat([got[0], again]), torch.from_numpy(raw))
    assert sorted(order.tolist()) == list(range(5))
    with pytest.raises(SamplerError):
        picture_generator(0)


def test_a_row_of_weights_a_picture_is_drawn_from_its_own_stream() -> None:
    weights = torch.arange(1.0, 9.0).repeat(3, 1)
    with hardware_noise(SoftwareSource(3), pictures=3):
        rows = torch.multinomial(weights, 4, replacement=True), torch.multinomial(weights, 4)
        with pytest.raises(SamplerError, match="cannot be divided"):
            torch.multinomial(weights[0], 3)
        torch.multinomial(weights[0], 3, generator=picture_generator(2))
    for b in range(3):
        with hardware_noise(SoftwareSource(3, b + 1)):
            assert torch.equal(torch.multinomial(weights[b], 4, replacement=True), rows[0][b])
            assert torch.equal(torch.multinomial(weights[b], 4), rows[1][b])


def test_padding_has_noise_0_and_no_other_numbers() -> None:
    first = SoftwareSource(3)
    with streams_noise([first, PaddingStream()]):
        assert torch.equal(torch.randn(2, 3)[1], torch.zeros(3))
        with pytest.raises(SamplerError, match="padding"):
            torch.rand(2, 3)


@pytest.mark.parametrize("name", ["DDPMPipeline", "DDIMPipeline"])
def test_unmodified_pipelines_of_diffusers_draw_from_the_source(name: str) -> None:
    import diffusers
    from diffusers.models.unets.unet_2d import UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
    scheduler = getattr(diffusers, name.replace("Pipeline", "Scheduler"))()
    pipeline = getattr(diffusers, name)(unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    options = {"eta": 1.0} if name == "DDIMPipeline" else {}

    def run(pictures: int | None, lists: bool = False) -> tuple[np.ndarray, int]:
        source = SoftwareSource(3)
        with hardware_noise(source, pictures) as noise:
            generator = [noise.picture_generator(b) for b in range(2)] if lists else torch.Generator()
            images = pipeline(2, generator, num_inference_steps=4, output_type="np", **options).images
            read = sum(s.bits for s in noise.streams if isinstance(s, SoftwareSource))
        return images, read

    state = torch.get_rng_state()
    whole, read = run(None)
    assert read == 2 * 64 * 32 * (5 if name == "DDIMPipeline" else 4)
    assert np.array_equal(whole, run(None)[0])
    sliced = run(2)
    assert sliced[1] == read
    assert np.array_equal(sliced[0], run(2, lists=True)[0])
    assert not np.array_equal(sliced[0], whole)
    assert torch.equal(torch.get_rng_state(), state)
