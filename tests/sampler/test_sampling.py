"""Sampling: the bill is exact, a picture is its own, and it can be drawn again from what it was made of."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from entropy import Store, Xor, conditioning_from_name
from entropy.testing import sound_accounts
from sampler import (
    Checkpoint,
    LeaseSource,
    OperatingSystemSource,
    Picture,
    SamplerError,
    SampleSettings,
    SoftwareSource,
    bill,
    hardware_noise,
    load_provenance,
    pixels,
    replay,
    sample,
    save_pictures,
    save_sheet,
)

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = SampleSettings(steps=6, microbatch=4)


@pytest.mark.parametrize(
    ("settings", "draws"),
    [
        (SampleSettings("ddpm", 10), 10),
        (SampleSettings("ddim", 10, eta=0.0), 1),
        (SampleSettings("ddim", 10, eta=1.0), 11),
        (SampleSettings("dpm-sde", 10), 11),
        (SampleSettings("DDPMScheduler", 1), 1),
    ],
)
def test_the_bill_counts_the_draws_of_the_scheduler(
    tiny: Checkpoint, settings: SampleSettings, draws: int
) -> None:
    cost = bill(tiny, settings, 3, Xor(2))
    assert (cost.draws, cost.pixels) == (draws, 64)
    assert cost.recorded == 3 * 64 * draws * 32 * 2
    assert f"{cost.recorded:,} recorded bits" in str(cost)
    samples = sample(tiny, [1, 2, 3], SoftwareSource(1), settings)
    assert [p.provenance["bits"]["bits"] for p in samples.pictures] == [cost.bits_each] * 3


def test_a_run_reads_its_bill_to_the_bit_and_padding_reads_none(
    tiny: Checkpoint, recorded: Callable[[int], Store]
) -> None:
    cost = bill(tiny, FEW, 5, Xor(2))
    store = recorded(cost.recorded)
    with store.lease(cost.recorded, purpose="test") as lease:
        samples = sample(tiny, [0, 1, 2, 3, 4], LeaseSource(lease), FEW)
        assert lease.remaining == 0
    assert sound_accounts(store).consumed == cost.recorded
    ranges = [tuple(r) for p in samples.pictures for r in p.provenance["bits"]["ranges"]]
    assert sum(r[2] for r in ranges) == cost.recorded
    assert 0 < samples.noise_fraction < 1


def test_a_picture_does_not_depend_on_its_company(tiny: Checkpoint) -> None:
    many = sample(tiny, [3, 1, 4, 1, 5, 9], SoftwareSource(7), FEW).pictures
    alone = sample(tiny, [3], SoftwareSource(7), FEW).pictures[0]
    others = sample(tiny, [3, 8, 4], SoftwareSource(7), FEW).pictures
    assert torch.equal(many[0].image, alone.image)
    assert torch.equal(many[0].image, others[0].image)
    assert torch.equal(many[2].image, others[2].image)
    assert not torch.equal(many[1].image, others[1].image)
    assert not torch.equal(many[0].image, sample(tiny, [3], SoftwareSource(8), FEW).pictures[0].image)


def test_a_picture_of_recorded_bits_replays_to_the_last_bit(
    tiny: Checkpoint, recorded: Callable[[int], Store], tmp_path: Path
) -> None:
    cost = bill(tiny, FEW, 6, Xor(2))
    store = recorded(cost.recorded)
    with store.lease(cost.recorded, purpose="test") as lease:
        source = LeaseSource(lease, simulated=True)
        pictures = sample(tiny, [5, 4, 3, 2, 1, 0], source, FEW, first=10).pictures
    before = store.accounts()
    for path, picture in zip(save_pictures(pictures, tmp_path / "out"), pictures, strict=True):
        again = replay(load_provenance(path), store, tiny)
        assert again.equal
        assert again.differences == []
        assert torch.equal(again.picture.image, picture.image)
        assert again.picture.provenance["bits"] == picture.provenance["bits"]
    assert replay(pictures[5], store, tiny).equal
    assert store.accounts() == before


@pytest.mark.parametrize("name", ["mask:a", "von-neumann", "peres:3", "toeplitz:64/256", "sha256:320"])
def test_a_picture_of_any_conditioning_is_replayed_to_the_last_bit(
    name: str, tiny: Checkpoint, recorded: Callable[[int], Store]
) -> None:
    conditioning = conditioning_from_name(name)
    cost = bill(tiny, FEW, 3, conditioning)
    assert ("at most" in str(cost)) is not conditioning.fixed_rate
    store = recorded(cost.recorded + 4096)
    with store.lease(cost.recorded + 5, purpose="test") as lease:
        lease.read(5)
        pictures = sample(tiny, [5, 4, 3], LeaseSource(lease, conditioning), FEW).pictures
    before = store.accounts()
    read = sum(picture.provenance["bits"]["bits"] for picture in pictures)
    assert before.consumed == read + 5
    assert read == cost.recorded if conditioning.fixed_rate else read < cost.recorded
    for picture in pictures:
        assert picture.provenance["bits"]["conditioning"] == name
        assert replay(picture, store, tiny).equal
    assert store.accounts() == before


def test_a_replay_from_other_bits_says_so(tiny: Checkpoint) -> None:
    picture = sample(tiny, [5], SoftwareSource(1), FEW).pictures[0]
    assert replay(picture, checkpoint=tiny).equal
    told = {**picture.provenance, "bits": {**picture.provenance["bits"], "seed": 2}}
    assert not replay(told, checkpoint=tiny).equal


def test_what_cannot_be_replayed_is_one_sentence(tiny: Checkpoint, recorded: Callable[[int], Store]) -> None:
    told = sample(tiny, [5], OperatingSystemSource(), FEW).pictures[0].provenance
    leased = {**told, "bits": {"source": "lease", "conditioning": "xor2", "ranges": [["nowhere", 0, 64]]}}
    for provenance, words in (
        (told, "cannot be had again"),
        ({**told, "model_sha256": "0" * 64}, "another network"),
        ({**told, "noise_map": {"version": 0, "sha256": ""}}, "noise map 0"),
        (leased, "needs the store"),
    ):
        with pytest.raises(SamplerError, match=words):
            replay(provenance, checkpoint=tiny)
    with pytest.raises(SamplerError):
        replay(leased, recorded(64), tiny)


def test_ddim_without_noise_depends_on_the_first_draw_alone(tiny: Checkpoint) -> None:
    settings = SampleSettings("ddim", 5, eta=0.0, microbatch=2)
    pictures = sample(tiny, [1, 1], SoftwareSource(1), settings).pictures
    assert not torch.equal(pictures[0].image, pictures[1].image)
    assert torch.equal(pictures[0].image, sample(tiny, [1], SoftwareSource(1), settings).pictures[0].image)


def test_picture_files_carry_their_provenance(tiny: Checkpoint, tmp_path: Path) -> None:
    pictures = sample(tiny, [7, 8], SoftwareSource(1), FEW).pictures
    paths = save_pictures(pictures, tmp_path)
    assert [p.name for p in paths] == ["00000-7.png", "00001-8.png"]
    for path, picture in zip(paths, pictures, strict=True):
        with Image.open(path) as image:
            assert image.size == (8, 8)
            assert np.array_equal(np.asarray(image), pixels(picture))
        assert load_provenance(path) == load_provenance(path.with_suffix(".json")) == picture.provenance
    told = load_provenance(paths[0])
    assert told["model_sha256"] == tiny.sha256
    assert told["noise_map"]["version"] == 1
    assert (told["label"], told["sampling"]["microbatch"], told["sampling"]["steps"]) == (7, 4, 6)
    assert told["sampling"]["scheduler_class"] == "DDPMScheduler"
    with Image.open(save_sheet(pictures, tmp_path / "sheet.png", columns=8, scale=3)) as sheet:
        assert sheet.size == (2 * 10 * 3, 10 * 3)


def test_files_without_provenance_are_one_sentence(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.new("L", (8, 8)).save(plain)
    (tmp_path / "other.json").write_text(json.dumps({"format": "other"}))
    (tmp_path / "text.png").write_text("no picture")
    for name in ("plain.png", "other.json", "text.png", "missing.png"):
        with pytest.raises(SamplerError, match=name):
            load_provenance(tmp_path / name)


def test_progress_preview_and_finished_are_told(tiny: Checkpoint) -> None:
    told: list[float] = []
    previews: list[tuple[int, int, torch.Size]] = []
    finished: list[Picture] = []
    sample(
        tiny,
        [0, 1, 2, 3, 4],
        SoftwareSource(1),
        FEW,
        progress=told.append,
        watch=lambda step: previews.append((step.numbers[0], step.step, step.guess.shape)),
        finished=finished.extend,
    )
    assert told == pytest.approx([*(4 * s / 6 for s in range(1, 7)), *(4 + s / 6 for s in range(1, 7))])
    assert previews[0] == (0, 1, torch.Size([4, 1, 8, 8]))
    assert previews[-1] == (4, 6, torch.Size([1, 1, 8, 8]))
    assert [p.index for p in finished] == [0, 1, 2, 3, 4]


def test_wrong_wishes_are_one_sentence(tiny: Checkpoint) -> None:
    for settings, words in (
        (SampleSettings("DPMSolverSDEScheduler"), "DPMSolverSDEScheduler draws from a Brownian tree"),
        (SampleSettings("CosineDPMSolverMultistepScheduler"), "Brownian tree"),
        (SampleSettings("nonsense"), "no scheduler 'nonsense'"),
        (SampleSettings("ddpm", 2000), "refuses 2000 steps"),
        (SampleSettings("ddpm", 5, eta=0.5), "takes no eta"),
    ):
        with pytest.raises(SamplerError, match=words):
            sample(tiny, [1], SoftwareSource(1), settings)
    for wrong in ({"steps": 0}, {"eta": 2}, {"microbatch": 0}):
        with pytest.raises(SamplerError):
            SampleSettings(**wrong)
    for labels in ([], [10], [-1]):
        with pytest.raises(SamplerError, match="label"):
            sample(tiny, labels, SoftwareSource(1), FEW)
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match="on already"):
        sample(tiny, [1], SoftwareSource(1), FEW)


def test_too_few_bits_stop_a_run_before_it_starts(tiny: Checkpoint, recorded: Callable[[int], Store]) -> None:
    cost = bill(tiny, FEW, 2, Xor(2))
    store = recorded(cost.recorded)
    with store.lease(cost.recorded - 64, purpose="test") as lease:
        with pytest.raises(SamplerError, match=f"need {cost.recorded:,} recorded bits"):
            sample(tiny, [1, 2], LeaseSource(lease), FEW)
    assert store.accounts().consumed == 0
