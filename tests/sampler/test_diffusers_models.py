"""Model folders of diffusers: drawn from to the bit of the bill, identified, and refused in one sentence."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, EulerDiscreteScheduler, UNet2DModel

from sampler import (
    Checkpoint,
    SamplerError,
    SampleSettings,
    SoftwareSource,
    bill,
    fitting_microbatch,
    load_checkpoint,
    load_provenance,
    replay,
    sample,
    save_pictures,
    scheduler_option,
)
from sampler.drawing._microbatch import forward_bytes

pytestmark = [
    pytest.mark.usefixtures("one_thread", "quiet_diffusers"),
    # Some of diffusers' schedulers hand tensors to numpy in ways that numpy 2 has an opinion on.
    pytest.mark.filterwarnings("ignore:__array:DeprecationWarning"),
]


@pytest.fixture
def quiet_diffusers() -> Iterator[None]:
    """diffusers logs which parts of a configuration a scheduler does not know; that is expected here."""
    logger = logging.getLogger("diffusers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def network(**changes: Any) -> UNet2DModel:
    plain: dict[str, Any] = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "norm_num_groups": 4,
        "block_out_channels": (8, 16), "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 8,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        return UNet2DModel(**{**plain, **changes})


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unconditional pipeline whose scheduler is not the usual one."""
    folder = tmp_path_factory.mktemp("models") / "pipeline"
    scheduler = EulerDiscreteScheduler(num_train_timesteps=500, beta_schedule="scaled_linear")
    made = DDPMPipeline(unet=network(), scheduler=DDPMScheduler())
    made.register_modules(scheduler=scheduler)
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-conditional network of oblong colour pictures, without a scheduler, which learned the variance."""
    folder = tmp_path_factory.mktemp("models") / "bare"
    network(sample_size=(8, 16), in_channels=3, out_channels=6, num_class_embeds=5).save_pretrained(folder)
    return folder


def test_a_pipeline_is_drawn_as_diffusers_draws_it(pipeline: Path) -> None:
    state = torch.get_rng_state()
    checkpoint = load_checkpoint(pipeline)
    assert torch.equal(torch.get_rng_state(), state)
    assert checkpoint.scheduler == "EulerDiscreteScheduler"
    assert checkpoint.card["scheduler"]["num_train_timesteps"] == 500
    assert (checkpoint.pictures.shape, checkpoint.pictures.labels) == ((1, 8, 8), None)
    settings = SampleSettings(checkpoint.scheduler, 4, microbatch=2)
    picture = sample(checkpoint, [None, None], SoftwareSource(3), settings).pictures[0]
    assert picture.label is None
    scheduler = EulerDiscreteScheduler.from_pretrained(pipeline, subfolder="scheduler")
    scheduler.set_timesteps(4)
    unet = UNet2DModel.from_pretrained(pipeline, subfolder="unet", low_cpu_mem_usage=False)
    from sampler import hardware_noise

    with hardware_noise(SoftwareSource(3), pictures=2), torch.no_grad():
        x = torch.randn(2, 1, 8, 8) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            x = scheduler.step(unet(scheduler.scale_model_input(x, t), t).sample, t, x).prev_sample
    assert torch.equal(picture.image, x[0])


def test_a_class_conditional_network_of_any_shape_is_drawn_and_replayed(bare: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(bare)
    assert (checkpoint.pictures.shape, checkpoint.pictures.labels) == ((3, 8, 16), 5)
    settings = SampleSettings("ddpm", 3, microbatch=2, scheduler_options={"variance_type": "learned_range"})
    cost = bill(checkpoint, settings, 2)
    assert (cost.pixels, cost.draws) == (3 * 8 * 16, 3)
    pictures = sample(checkpoint, [4, 0], SoftwareSource(1), settings).pictures
    (path, _) = save_pictures(pictures, tmp_path)
    told = load_provenance(path)
    assert told == pictures[0].provenance
    assert told["sampling"]["scheduler_options"] == {"variance_type": "learned_range"}
    assert told["sampling"]["scheduler_config"]["variance_type"] == "learned_range"
    assert told["model_sha256"] == checkpoint.sha256
    assert replay(told, checkpoint=checkpoint).identical
    with pytest.raises(SamplerError, match="cannot step with this network's predictions"):
        bill(checkpoint, SampleSettings("euler", 3), 1)


def test_the_network_is_known_by_weights_and_configuration(pipeline: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(pipeline)
    told = sample(checkpoint, [None], SoftwareSource(1), SampleSettings("ddim", 2)).pictures[0].provenance
    load_again = tmp_path / "again"
    checkpoint.model.save_pretrained(load_again)
    again = load_checkpoint(load_again)
    assert (again.sha256, again.config_sha256) == (checkpoint.sha256, checkpoint.config_sha256)
    config = json.loads((load_again / "config.json").read_text())
    (load_again / "config.json").write_text(json.dumps({**config, "norm_eps": 0.1}))
    with pytest.raises(SamplerError, match=r"the configuration of .* was changed"):
        replay(told, checkpoint=load_checkpoint(load_again))


def test_a_bare_model_is_taken_to_be_trained_as_ddpm_defaults(bare: Path, tmp_path: Path) -> None:
    assert load_checkpoint(bare).scheduler == "ddpm"
    network().save_pretrained(tmp_path)
    DDIMScheduler(beta_schedule="squaredcos_cap_v2").save_pretrained(tmp_path)
    beside = load_checkpoint(tmp_path)
    assert beside.scheduler == "DDIMScheduler"
    assert beside.card["scheduler"]["beta_schedule"] == "squaredcos_cap_v2"


def edit(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**config, **changes}))

    return change


def without_weights(folder: Path) -> None:
    (folder / "diffusion_pytorch_model.safetensors").unlink()


def pickled(folder: Path) -> None:
    without_weights(folder)
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")


def latent(folder: Path) -> None:
    parts = {"_class_name": "LDMPipeline", "unet": ["diffusers", "UNet2DModel"]}
    parts |= {"scheduler": ["diffusers", "DDIMScheduler"], "vqvae": ["diffusers", "VQModel"]}
    (folder / "model_index.json").write_text(json.dumps(parts))


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text to picture": (
        edit("config.json", _class_name="UNet2DConditionModel"),
        "UNet2DConditionModel, which needs",
    ),
    "no name": (edit("config.json", _class_name=None), "network without a name"),
    "embedding": (
        edit("config.json", class_embed_type="identity"),
        "by a identity embedding and not by labels",
    ),
    "no size": (edit("config.json", sample_size=None), "set its sample_size"),
    "latents": (edit("config.json", in_channels=4, out_channels=4), "pictures of 1 or 3 channels"),
    "other weights": (edit("config.json", layers_per_block=2), "cannot be loaded: .*size mismatch"),
    "other widths": (edit("config.json", block_out_channels=[8, 8]), "cannot be loaded: .*size mismatch"),
    "no network": (edit("config.json", block_out_channels=[7, 9]), "cannot be loaded"),
    "broken": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "not the configuration"),
    "no weights": (without_weights, "holds no weights"),
    "pickled": (pickled, "pickled, which could run any code.*save_pretrained"),
    "not safetensors": (
        lambda f: (f / "diffusion_pytorch_model.safetensors").write_bytes(b"\x80pickle"),
        "cannot be loaded",
    ),
    "latent pipeline": (latent, "LDMPipeline, whose network needs vqvae too"),
    "no unet": (lambda f: (f / "model_index.json").write_text('{"vae": ["a", "B"]}'), "is a pipeline of vae"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_folders_are_one_sentence(name: str, tmp_path: Path) -> None:
    network().save_pretrained(tmp_path)
    harm, words = WRONG[name]
    harm(tmp_path)
    with pytest.raises(SamplerError, match=words) as raised:
        load_checkpoint(tmp_path)
    assert "\n" not in str(raised.value)


def test_half_precision_variants_are_read(tmp_path: Path) -> None:
    made = network()
    made.half().save_pretrained(tmp_path, variant="fp16")
    loaded = load_checkpoint(tmp_path).model
    assert next(loaded.parameters()).dtype is torch.float32
    for one, other in zip(loaded.parameters(), made.parameters(), strict=True):
        assert torch.equal(one, other.float())


def test_labels_must_suit_the_network(pipeline: Path, tiny: Checkpoint) -> None:
    few = SampleSettings("ddim", 1, microbatch=1)
    with pytest.raises(SamplerError, match="takes no labels"):
        sample(load_checkpoint(pipeline), [3], SoftwareSource(1), few)
    with pytest.raises(SamplerError, match="draws by label: give each picture one from 0 to 9"):
        sample(tiny, [None], SoftwareSource(1), few)


DRAWN = [
    ("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0), ("pndm", 0.0), ("euler", 0.0), ("euler-ancestral", 0.0),
    ("lcm", 0.0), ("edm", 0.0), ("dpm-sde", 0.0), ("HeunDiscreteScheduler", 0.0), ("TCDScheduler", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "eta"), DRAWN)
def test_schedulers_read_their_bill_to_the_bit(name: str, eta: float, tiny: Checkpoint) -> None:
    settings = SampleSettings(name, 4, eta, microbatch=2, bits_per_normal=16)
    cost = bill(tiny, settings, 3)
    pictures = sample(tiny, [1, 2, 3], SoftwareSource(1), settings).pictures
    assert [p.provenance["bits"]["bits"] for p in pictures] == [cost.draws * 64 * 16] * 3
    assert all(p.image.dtype is torch.float32 and p.image.isfinite().all() for p in pictures)
    assert replay(pictures[2], checkpoint=tiny).identical


def test_every_scheduler_of_diffusers_draws_or_is_refused(tiny: Checkpoint) -> None:
    """The network is left out here: that the bill of one can be made says that it steps plainly."""
    drawn, refused = set(), set()
    for name in sorted(n for n in dir(diffusers) if n.endswith("Scheduler")):
        try:
            assert bill(tiny, SampleSettings(name, 4), 1).draws >= 1
            drawn.add(name)
        except SamplerError:
            refused.add(name)
    assert {"DDPMScheduler", "EulerDiscreteScheduler", "CMStochasticIterativeScheduler"} <= drawn
    assert {
        "DPMSolverSDEScheduler",
        "DDIMInverseScheduler",
        "RePaintScheduler",
        "VQDiffusionScheduler",
    } <= refused
    assert len(drawn) >= 25


def test_options_of_schedulers_are_typed_by_their_defaults() -> None:
    for scheduler, text, value in (
        ("ddpm", "clip_sample=False", False),
        ("ddim", "num_train_timesteps=500", 500),
        ("DDIMScheduler", "beta_end=1", 1.0),
        ("euler", "timestep_spacing=trailing", "trailing"),
        ("ddpm", "trained_betas=[0.1, 0.2]", [0.1, 0.2]),
    ):
        assert scheduler_option(scheduler, text) == (text.partition("=")[0], value)
    for scheduler, text, words in (
        ("ddpm", "clip=1", "has no option 'clip': it knows beta_end, beta_schedule"),
        ("ddpm", "clip_sample", "write key=value"),
        ("ddpm", "clip_sample=3", "true or false"),
        ("ddpm", "num_train_timesteps=many", "a whole number"),
        ("ddpm", "beta_end=true", "a number such as 0.02"),
        ("nonsense", "a=1", "no scheduler"),
    ):
        with pytest.raises(SamplerError, match=words):
            scheduler_option(scheduler, text)


def test_options_change_the_pictures_and_unknown_ones_are_refused(tiny: Checkpoint) -> None:
    plain = SampleSettings("euler", 3, microbatch=1)
    other = replace(plain, scheduler_options={"timestep_spacing": "trailing"})
    assert other == SampleSettings.from_json(json.loads(json.dumps(other.as_json())))
    one, two = (sample(tiny, [1], SoftwareSource(1), s).pictures[0].image for s in (plain, other))
    assert not torch.equal(one, two)
    with pytest.raises(SamplerError, match="no option 'spacing'"):
        sample(tiny, [1], SoftwareSource(1), replace(plain, scheduler_options={"spacing": "trailing"}))


def test_a_microbatch_fits_the_memory(tiny: Checkpoint, bare: Path) -> None:
    state = torch.get_rng_state()
    each = forward_bytes(tiny)
    assert torch.equal(torch.get_rng_state(), state)
    for pictures, room, fitting in ((1000, 10, 10), (7, 10, 7), (1000, 1000, 64)):
        assert fitting_microbatch(tiny, pictures, 4 * each * room) == fitting
    assert 1 <= fitting_microbatch(tiny, 1000) <= 64
    with pytest.raises(SamplerError, match="close other programs"):
        fitting_microbatch(tiny, 10, each)
    assert forward_bytes(load_checkpoint(bare)) > each


@pytest.mark.slow
def test_the_measured_memory_is_what_torch_allocates() -> None:
    from torch.profiler import ProfilerActivity, profile

    shipped = load_checkpoint()
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        shipped.model(torch.zeros(1, 1, 28, 28), torch.tensor(5), class_labels=torch.tensor([1]))
    results = measured.profiler.kineto_results.events()  # pyright: ignore[reportOptionalMemberAccess]
    now = peak = 0
    for event in sorted((e for e in results if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert 0.7 * peak < forward_bytes(shipped) < 1.3 * peak
