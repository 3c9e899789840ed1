"""Replay tells apart: identical, altered, other bits, other arithmetic, and bits that are gone."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from entropy import PrunePolicy, Store, Xor
from sampler import (
    Checkpoint,
    LeaseSource,
    Picture,
    SamplerError,
    SampleSettings,
    SoftwareSource,
    bill,
    load_checkpoint,
    load_pixels,
    load_provenance,
    normal_levels,
    pixels,
    replay,
    sample,
    save_picture,
)

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = SampleSettings("ddpm", 20, microbatch=2)
NEW_KEYS = ("shape", "pixels_sha256", "steps_sha256", "model_config_sha256")


@pytest.fixture(scope="module")
def picture(tiny: Checkpoint) -> Picture:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    drawn = sample(tiny, [5], SoftwareSource(1), FEW).pictures[0]
    torch.set_num_threads(before)
    return drawn


def changed(picture: Picture, **parts: Any) -> dict[str, Any]:
    """The provenance with parts of its bits, versions or sampling changed."""
    told = json.loads(json.dumps(picture.provenance))
    for name, change in parts.items():
        told[name] = {**told[name], **change} if isinstance(change, dict) else change
    return told


def test_steps_are_recorded_and_cheap(picture: Picture) -> None:
    steps = picture.provenance["steps_sha256"]
    assert [step for step, _ in steps] == list(range(0, 20, 2))
    assert len({digest for _, digest in steps}) == len(steps)
    assert picture.provenance["shape"] == [1, 8, 8]


@pytest.mark.parametrize("width", [32, 16, 12, 8, 4, 2, 1])
def test_a_picture_of_any_width_is_billed_and_replayed(width: int, tiny: Checkpoint) -> None:
    settings = SampleSettings("ddim", 3, eta=1.0, microbatch=2, bits_per_normal=width)
    cost = bill(tiny, settings, 2)
    assert cost.bits == 2 * 64 * 4 * width
    assert f"× {width} bits ×" in str(cost)
    one, two = sample(tiny, [5, 6], SoftwareSource(1), settings).pictures
    assert one.provenance["sampling"]["bits_per_normal"] == width
    assert one.provenance["bits"]["bits"] == 64 * 4 * width
    assert replay(two.provenance, checkpoint=tiny).identical


@pytest.mark.parametrize("width", [16, 1])
def test_the_levels_of_narrow_normals_are_named_and_others_refused(width: int, tiny: Checkpoint) -> None:
    settings = SampleSettings("ddim", 2, microbatch=2, bits_per_normal=width)
    told = sample(tiny, [5], SoftwareSource(1), settings).pictures[0].provenance
    levels = normal_levels(width).astype("<f4").tobytes()
    assert told["normal_levels_sha256"] == hashlib.sha256(levels).hexdigest()
    other = {**told, "normal_levels_sha256": "0" * 64}
    with pytest.raises(SamplerError, match=rf"other normals of {width} bits \(levels 000000000000…\)"):
        replay(other, checkpoint=tiny)
    older = {key: value for key, value in told.items() if key != "normal_levels_sha256"}
    assert replay(older, checkpoint=tiny).identical


def test_a_picture_of_32_bits_a_normal_names_the_map_alone(picture: Picture) -> None:
    assert "normal_levels_sha256" not in picture.provenance


def test_an_altered_file_is_told_from_a_picture_that_came_out_otherwise(
    picture: Picture, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = save_picture(picture, tmp_path / "a.png")
    again = replay(load_provenance(path), checkpoint=tiny, shown=load_pixels(path))
    assert again.identical
    assert (again.shown and again.shown.pixels, again.equal_until, again.differs_at) == (0, None, None)
    forged = pixels(picture).copy()
    forged[3, 4] ^= 16
    for told in (picture.provenance, {k: v for k, v in picture.provenance.items() if k not in NEW_KEYS}):
        again = replay(told, checkpoint=tiny, shown=forged)
        assert again.equal
        assert again.altered
        assert not again.identical
        assert again.shown is not None
        assert (again.shown.pixels, again.shown.of, again.shown.largest) == (1, 64, 16)
        assert again.shown.image[3, 4] == 16
    with pytest.raises(SamplerError, match="made larger or smaller"):
        replay(picture.provenance, checkpoint=tiny, shown=np.zeros((16, 16), np.uint8))


def test_other_bits_differ_from_the_noise_on(picture: Picture, tiny: Checkpoint) -> None:
    again = replay(changed(picture, bits={"seed": 2}), checkpoint=tiny, shown=pixels(picture))
    assert (again.equal, again.equal_until, again.differs_at, again.altered) == (False, None, 0, False)
    assert again.shown is not None
    assert again.shown.pixels > 32


def test_other_arithmetic_differs_after_the_noise_and_the_machinery_is_named(
    picture: Picture, tiny: Checkpoint
) -> None:
    """A hundredfold stronger form of what another machine does to the last bits: the network's weights are moved."""
    scheduler = picture.provenance["sampling"]["scheduler_config"]
    told = changed(
        picture,
        versions={"torch": "1.0", "machine": "Linux x86_64 other", "cpu": "NONE"},
        sampling={"scheduler_config": {**scheduler, "beta_end": 0.03}},
    )
    weight = next(tiny.model.parameters())
    before = weight.clone()
    weight += 1e-3
    try:
        again = replay(told, checkpoint=tiny)
    finally:
        weight.copy_(before)
    assert not again.equal
    assert (again.equal_until, again.differs_at) == (0, 2)
    said = "; ".join(again.differences)
    for part in (
        "torch 1.0 then",
        "machine Linux x86_64 other then",
        "cpu NONE then",
        "scheduler's configuration",
    ):
        assert part in said


def test_the_step_at_which_it_began_to_differ_is_found(picture: Picture, tiny: Checkpoint) -> None:
    steps = [[s, d if s < 12 else "0" * 16] for s, d in picture.provenance["steps_sha256"]]
    again = replay(changed(picture, steps_sha256=steps, picture_sha256="0"), checkpoint=tiny)
    assert (again.equal, again.equal_until, again.differs_at) == (False, 10, 12)


def test_older_pictures_are_still_replayed(picture: Picture, tiny: Checkpoint) -> None:
    told = {k: v for k, v in picture.provenance.items() if k not in NEW_KEYS}
    told["sampling"] = {
        k: v for k, v in told["sampling"].items() if k not in ("scheduler_options", "bits_per_normal")
    }
    told["versions"] = {k: v for k, v in told["versions"].items() if k != "machine"}
    again = replay(told, checkpoint=tiny)
    assert again.identical
    assert again.differences == []
    again = replay({**told, "picture_sha256": "0"}, checkpoint=tiny)
    assert (again.equal, again.equal_until, again.differs_at) == (False, None, None)


def test_a_model_for_another_size_is_one_sentence(picture: Picture) -> None:
    with pytest.raises(
        SamplerError, match=r"picture 0 has 8 × 8 pixels .* draws 28 × 28 pixels in 1 channel: name"
    ):
        replay(picture.provenance, checkpoint=load_checkpoint())


def test_bits_that_are_gone_are_named_with_their_buffer(
    tiny: Checkpoint, recorded: Callable[[int], Store]
) -> None:
    settings = SampleSettings("ddim", 2, microbatch=1)
    cost = bill(tiny, settings, 1, Xor(2))
    store = recorded(cost.recorded)
    with store.lease(cost.recorded, purpose="test") as lease:
        picture = sample(tiny, [5], LeaseSource(lease), settings).pictures[0]
    assert replay(picture, store, tiny).identical
    buffer = picture.provenance["bits"]["ranges"][0][0]
    store.prune(PrunePolicy(burn_unspent=True), dry_run=False)
    with pytest.raises(
        SamplerError, match=rf"bits of picture 0 are gone: buffer {buffer}, .* deleted by 'memtj store prune'"
    ):
        replay(picture, store, tiny)
    other = changed(picture, bits={"ranges": [["elsewhere", 0, cost.recorded]]})
    with pytest.raises(SamplerError, match=r"buffer elsewhere, .* was it recorded elsewhere"):
        replay(other, store, tiny)


def test_what_is_no_picture_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(SamplerError, match=r"a\.png"):
        load_pixels(tmp_path / "a.png")
    with pytest.raises(SamplerError, match=r"a\.png"):
        load_provenance(tmp_path / "a.png")
    Image.new("RGBA", (4, 4)).save(tmp_path / "b.png")
    assert load_pixels(tmp_path / "b.png").shape == (4, 4, 3)
