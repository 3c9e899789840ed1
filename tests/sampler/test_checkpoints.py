"""Checkpoints: what is written loads again, and what is foreign or damaged is refused in one sentence."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sampler import (
    Architecture,
    Checkpoint,
    SamplerError,
    SoftwareSource,
    TrainProgress,
    TrainSettings,
    load_checkpoint,
    load_digits,
    shipped_checkpoint,
    train,
)

TINY = Architecture(image_size=8, widths=(8, 16), norm_groups=4, attention_head=8)


def test_the_shipped_digits_are_all_there() -> None:
    digits = load_digits()
    assert digits.images.shape == (10_000, 28, 28)
    assert digits.labels.shape == (10_000,)
    assert sorted(set(digits.labels.tolist())) == list(range(10))


def test_the_shipped_checkpoint_is_small_and_says_how_it_was_made() -> None:
    checkpoint = load_checkpoint()
    card = checkpoint.card
    assert sum(f.stat().st_size for f in shipped_checkpoint().iterdir()) < 4_000_000
    assert card["training"]["steps_done"] >= 3500
    assert card["data"]["sha256"] == load_digits().sha256
    assert card["loss_curve"][-1][1] < 0.03 < card["loss_curve"][0][1]
    assert {"source", "seed"} <= set(card["entropy"])
    assert checkpoint.architecture == Architecture()


def card_with(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return change


def wider(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["architecture"]["widths"] = [8, 24]
    (folder / "card.json").write_text(json.dumps(card))


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (shutil.rmtree, "there is no checkpoint"),
    "no card": (lambda f: (f / "card.json").unlink(), "holds no card.json"),
    "broken card": (lambda f: (f / "card.json").write_text("{"), "cannot be read"),
    "foreign card": (lambda f: (f / "card.json").write_text('{"model_type": "llama"}'), "another program"),
    "later version": (card_with(format_version=2), "version 2"),
    "other kind": (card_with(architecture={"layers": 3}), "another kind of network"),
    "impossible size": (card_with(architecture={**TINY.__dict__, "widths": [8, -1]}), "impossible size"),
    "not a network": (card_with(architecture={**TINY.__dict__, "widths": [7, 9]}), "no network can be built"),
    "other size": (wider, "does not fit"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no readable model.safetensors"),
    "not safetensors": (lambda f: (f / "model.safetensors").write_bytes(b"\x80pickle"), "not a safetensors"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_checkpoints_are_one_sentence(name: str, tiny: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny.path, folder)
    harm, words = WRONG[name]
    harm(folder)
    with pytest.raises(SamplerError, match=words) as raised:
        load_checkpoint(folder)
    assert "\n" not in str(raised.value)


def test_a_flipped_bit_in_the_weights_is_found(tiny: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny.path, folder)
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-100] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(SamplerError, match="SHA-256 differs"):
        load_checkpoint(folder)


@pytest.fixture
def few_steps(tmp_path: Path) -> TrainSettings:
    return TrainSettings(
        out=tmp_path / "out", steps=5, batch=4, seed=3, checkpoint_every=2, architecture=TINY
    )


@pytest.mark.usefixtures("one_thread")
def test_training_leaves_a_checkpoint_and_repeats_from_its_seed(
    few_steps: TrainSettings, tmp_path: Path
) -> None:
    told: list[TrainProgress] = []
    state = torch.get_rng_state()
    first = load_checkpoint(train(few_steps, progress=told.append))
    assert torch.equal(torch.get_rng_state(), state)
    assert [p.step for p in told] == [1, 2, 3, 4, 5]
    entropy = first.card["entropy"]
    assert {(s["source"], s["seed"]) for s in entropy["sources"]} == {("software", 3)}
    assert set(entropy["names"]) == {"weights", "shuffle", "timesteps", "diffusion"}
    assert [s["bits"] for s in entropy["sources"]] == [n["bits"] for n in entropy["names"].values()]
    assert first.card["training"]["steps_done"] == 5
    assert not list(tmp_path.glob("*.new")) + list(tmp_path.glob("*.old"))
    again = load_checkpoint(train(replace(few_steps, out=tmp_path / "again")))
    assert again.sha256 == first.sha256
    other = load_checkpoint(train(replace(few_steps, out=tmp_path / "other", seed=4)))
    assert other.sha256 != first.sha256


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_training_draws_everything_from_a_source(few_steps: TrainSettings, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    source = SoftwareSource(9)
    first = load_checkpoint(train(few_steps, source))
    (provenance,) = first.card["entropy"]["sources"]
    assert provenance["source"] == "software"
    assert provenance["bits"] == source.bits > 5 * 4 * 64 * 32
    assert sum(n["bits"] for n in first.card["entropy"]["names"].values()) == source.bits
    assert torch.equal(torch.get_rng_state(), state)
    again = load_checkpoint(train(replace(few_steps, out=tmp_path / "again"), SoftwareSource(9)))
    assert again.sha256 == first.sha256


def test_senseless_training_is_one_sentence(few_steps: TrainSettings) -> None:
    for wrong in (
        replace(few_steps, steps=0),
        replace(few_steps, precision="float8"),
        replace(few_steps, architecture=replace(TINY, labels=3)),
    ):
        with pytest.raises(SamplerError):
            train(wrong)


def test_importing_the_sampler_is_light_and_the_levels_load_no_numba() -> None:
    code = (
        "import sampler, sys; light = not {'diffusers', 'numba'} & {*sys.modules}; sampler.normal_levels(12);"
        "sys.exit(not light or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_shipped_checkpoint_draws_digits() -> None:
    """Nearest neighbours among the real digits (97 % right on real ones) recognise what was drawn."""
    from sampler import SampleSettings, sample

    labels = [d for d in range(10) for _ in range(4)]
    drawn = sample(load_checkpoint(), labels, SoftwareSource(1), SampleSettings("ddpm", 100, microbatch=20))
    pictures = torch.stack([p.image for p in drawn.pictures]).flatten(1)
    digits = load_digits()
    real = torch.from_numpy(digits.images).float().div(127.5).sub(1).flatten(1)
    nearest = torch.cdist(pictures, real).topk(5, largest=False).indices
    guesses = torch.from_numpy(digits.labels).long()[nearest].mode(1).values
    assert int((guesses == torch.tensor(labels)).sum()) >= 34
