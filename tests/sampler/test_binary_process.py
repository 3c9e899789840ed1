"""The binary process: its laws, its draws from few bits, training, sampling, replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from entropy import Store, Xor
from entropy.testing import sound_accounts
from sampler import (
    BiasedSource,
    Checkpoint,
    LeasedBits,
    LeaseSource,
    SamplerError,
    SampleSettings,
    SoftwareSource,
    TrainSettings,
    architecture_of_widths,
    bill,
    draw_parts,
    load_checkpoint,
    load_data,
    parts_of,
    pixels,
    replay,
    sample,
    train,
)
from sampler._bernoulli_map import BernoulliReader, bernoullis_reference, most_bernoulli_bits
from sampler.processes import BinaryProcess, BinaryStep, StreamDraws, grow

SETTINGS = SampleSettings("bernoulli", 16, microbatch=2)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("binary") / "digits"
    small = architecture_of_widths([8, 16], image_size=8)
    settings = TrainSettings(out, 6, 8, seed=1, architecture=small, process="binary", process_steps=16)
    train(settings, data=load_data(size=8))
    return load_checkpoint(out)


def test_the_forward_process_flips_towards_coin_tosses_as_its_steps_say() -> None:
    process = BinaryProcess()
    assert process.flips.max() <= 0.5
    assert 3 < process.flips.sum() < 4  # flips a pixel on its way
    flipped = 0.0
    for t, beta in enumerate(process.flips, 1):
        flipped = flipped * (1 - beta) + (1 - flipped) * beta
        law = process.forward_law(np.array([[0, 1]], np.uint8), np.array([t]))
        assert law == pytest.approx(np.array([[flipped, 1 - flipped]]))
    assert flipped == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("to", [0, 5, 11])
def test_the_reverse_law_is_bayes_of_the_forward_one(to: int) -> None:
    process, t, prior = BinaryProcess(32), 12, 0.3
    # P(x_to, x_t) by summing over x_0, which is 1 with probability `prior`.
    beta = (1 - process.kept[t] / process.kept[to]) / 2
    one_at_to = prior * (1 + process.kept[to]) / 2 + (1 - prior) * (1 - process.kept[to]) / 2
    joint = np.array(
        [[(1 - one_at_to) * (1 - beta), (1 - one_at_to) * beta], [one_at_to * beta, one_at_to * (1 - beta)]]
    )
    for x in (0, 1):
        now = (1 - process.kept[t]) / 2
        seen = [now, 1 - now] if x == 1 else [1 - now, now]
        posterior = prior * seen[1] / (prior * seen[1] + (1 - prior) * seen[0])  # P(x_0 = 1 | x_t)
        flip = process.flip_law(np.array([x], np.uint8), np.array([posterior]), t, to)
        assert flip == pytest.approx(joint[1 - x, x] / joint[:, x].sum())


def test_draws_have_their_probabilities_at_little_more_than_their_entropy() -> None:
    p = np.repeat([0.0, 1e-6, 0.001, 0.03, 0.3, 0.5, 0.77, 0.9999, 1.0], 100_000)
    p = np.random.default_rng(1).permutation(p)
    source = SoftwareSource(2)
    drawn = BernoulliReader(source.read).read(p)
    for chance in np.unique(p):
        own = drawn[p == chance]
        assert scipy.stats.binomtest(int(own.sum()), len(own), chance).pvalue > 1e-6
    entropy = scipy.stats.entropy([p, 1 - p], base=2).sum()
    assert source.bits <= 1.001 * entropy + 1000


def test_the_compiled_map_is_its_definition_however_the_draws_are_cut() -> None:
    chances = np.random.default_rng(3)
    p = np.concatenate([chances.random(2000), chances.random(2000) ** 12, [0.0, 1.0, 2**-50, 1 - 2**-53]])
    packed = SoftwareSource(5).read(40_000)
    wanted, taken = bernoullis_reference(packed, p)
    source = SoftwareSource(5)
    reader = BernoulliReader(source.read)
    cut = np.concatenate([reader.read(part) for part in np.split(p, [1, 2, 777, 778, 3000])])
    assert np.array_equal(cut, wanted)
    assert 0 <= source.bits - 8 * taken <= 8 * 70
    with pytest.raises(SamplerError, match="a probability goes from 0 to 1"):
        reader.read(np.array([0.5, np.nan]))


def test_no_probabilities_read_more_than_the_bill() -> None:
    for seed, p in enumerate([0.5, 0.49, 0.05, 0.999, 1e-9]):
        source = SoftwareSource(seed)
        BernoulliReader(source.read).read(np.full(20_000, p))
        assert source.bits <= most_bernoulli_bits(20_000)


def test_flipping_and_writing_have_one_law_and_a_floor_spares_draws() -> None:
    process, wanted = BinaryProcess(16), (np.arange(64) % 2).astype(np.uint8)

    def sure(x: np.ndarray, t: int) -> np.ndarray:
        return np.broadcast_to(0.1 + 0.8 * wanted, x.shape)

    ends = []
    for writes in (False, True):
        draws = StreamDraws([SoftwareSource(7 + writes, i) for i in range(200)])
        steps = list(grow(process, sure, draws, (200, 64), writes=writes))
        assert [step.t for step in steps] == list(range(16, -1, -1))
        ends.append((steps[-1].x == wanted).mean())
    assert ends == pytest.approx([0.9, 0.9], abs=0.012)  # 4.5 standard errors
    asked: list[np.ndarray] = []

    class Watched(StreamDraws):
        def flip(self, p: np.ndarray) -> np.ndarray:
            asked.append(p)
            return super().flip(p)

    list(grow(process, sure, Watched([SoftwareSource(1)]), (1, 64), floor=0.05))
    begun = BinaryStep(8, (np.arange(64) % 2).astype(np.uint8)[None], np.full((1, 64), 0.5))
    held = StreamDraws([SoftwareSource(1)])
    held.draw(begun.x.astype(float))
    later = list(grow(process, sure, held, (1, 64), begun=begun))
    assert [step.t for step in later] == list(range(8, -1, -1))
    assert later[0] is begun
    with pytest.raises(SamplerError, match="t = 8"):
        next(grow(process, sure, held, (1, 64), 3, begun=begun))
    given = np.concatenate(asked)
    assert ((given == 0) | (given >= 0.05)).all()
    assert (given == 0).any()


def test_a_binary_picture_reads_few_bits_and_is_replayed_from_them(
    binary: Checkpoint, recorded: Callable[[int], Store]
) -> None:
    cost = bill(binary, SETTINGS, 3, Xor(2))
    assert "at most 1 bit" in str(cost)
    store = recorded(cost.recorded)
    parts = parts_of(binary, SETTINGS, enumerate([1, 2, 3]), conditioning=Xor(2))
    leases = LeasedBits(store, lambda bits: store.lease(bits, purpose="sample"))
    drawn = draw_parts(parts, leases)
    used = [picture.provenance["noise_bits_used"] for picture in drawn.pictures]
    assert all(0 < bits < cost.bits_each for bits in used)
    sound_accounts(store)
    assert store.accounts().consumed == 2 * sum(used)
    for picture in drawn.pictures:
        assert set(np.unique(pixels(picture))) <= {0, 255}
        assert picture.provenance["process"] == "binary"
        assert replay(picture, store, binary).identical
    altered = {**drawn.pictures[0].provenance, "bernoulli_map": 2}
    with pytest.raises(SamplerError, match="Bernoulli map 2"):
        replay(altered, store, binary)


def test_a_floor_is_part_of_a_picture_and_of_no_other_settings(binary: Checkpoint, tiny: Checkpoint) -> None:
    floored = replace(SETTINGS, floor=0.5)
    assert "floor" not in SETTINGS.as_json()
    assert SampleSettings.from_json(floored.as_json()) == floored
    picture, without = (
        sample(binary, [1], SoftwareSource(3), settings).pictures[0] for settings in (floored, SETTINGS)
    )
    assert picture.provenance["noise_bits_used"] < without.provenance["noise_bits_used"]
    assert replay(picture, None, binary).identical
    with pytest.raises(SamplerError, match="this network draws normal numbers: leave it out"):
        bill(tiny, SampleSettings(floor=0.2), 1)


def test_a_picture_does_not_depend_on_its_company_or_on_the_kind_of_lease(
    binary: Checkpoint, recorded: Callable[[int], Store]
) -> None:
    together = sample(binary, [4, 5, 6], SoftwareSource(3), SETTINGS).pictures
    alone = SoftwareSource(3)
    alone.streams(2)
    (last,) = sample(binary, [6], alone, SETTINGS, first=2).pictures
    assert torch.equal(last.image, together[2].image)
    assert replay(last, None, binary).identical
    store = recorded(bill(binary, SETTINGS, 1).recorded)
    with store.lease(bill(binary, SETTINGS, 1).recorded, purpose="sample") as lease:
        from entropy import NoConditioning

        (leased,) = sample(binary, [1], LeaseSource(lease, NoConditioning()), SETTINGS).pictures
    assert store.accounts().consumed == leased.provenance["noise_bits_used"]


def test_at_64_steps_a_picture_takes_45_times_fewer_bits_than_100_steps_of_normals(
    binary: Checkpoint, tiny: Checkpoint
) -> None:
    full = replace(binary, card={**binary.card, "scheduler": BinaryProcess().config})
    most = bill(full, replace(SETTINGS, steps=64), 1)
    # For pictures of 28 × 28 pixels, where the bill's fixed part counts for little.
    pixels = 28 * 28
    normals = 100 * 32 * pixels
    assert bill(tiny, SampleSettings(steps=100), 1).draws == 100
    assert most.draws == 65
    assert normals >= 45 * most_bernoulli_bits(most.draws * pixels)


def test_settings_of_the_other_process_are_refused(binary: Checkpoint, tiny: Checkpoint) -> None:
    for wrong, message in {
        SampleSettings("ddpm", 8): "not by a scheduler such as ddpm",
        SampleSettings("bernoulli", 8, eta=1.0): "no normal numbers",
        SampleSettings("bernoulli", 17): "trained for 16 binary steps",
    }.items():
        with pytest.raises(SamplerError, match=message):
            bill(binary, wrong, 1)
    with pytest.raises(SamplerError, match="there is no scheduler 'bernoulli'"):
        bill(tiny, SETTINGS, 1)


def test_a_binary_training_is_in_its_card_and_goes_on_where_it_stopped(
    binary: Checkpoint, tmp_path: Path
) -> None:
    assert binary.architecture is not None
    card = binary.card
    assert (card["process"], card["scheduler"]) == ("binary", {"steps": 16, "schedule": "cosine"})
    assert card["training"]["objective"] == "clean bits"
    assert (binary.scheduler, binary.default_steps) == ("bernoulli", 16)
    settings = TrainSettings(
        tmp_path / "again", 6, 8, seed=1, architecture=binary.architecture, process="binary",
        process_steps=16, checkpoint_every=2,
    )  # fmt: skip

    class Stop(Exception):
        pass

    def stop(state: object) -> None:
        if getattr(state, "step", 0) == 3:
            raise Stop

    data = load_data(size=8)
    with pytest.raises(Stop):
        train(settings, progress=stop, data=data)
    with pytest.raises(SamplerError, match="begun with process"):
        train(replace(settings, process="gaussian"), data=data, resume=True)
    train(settings, data=data, resume=True)
    assert load_checkpoint(settings.out).sha256 == binary.sha256
    (settings.out / "card.json").write_text(
        (settings.out / "card.json").read_text().replace('"process": "binary"', '"process": "ternary"')
    )
    with pytest.raises(SamplerError, match="'ternary'"):
        load_checkpoint(settings.out)


def test_bad_bits_show_in_the_draws() -> None:
    fair, biased = (
        StreamDraws([source]).draw(np.full((1, 40_000), 0.5)).mean()
        for source in (SoftwareSource(1), BiasedSource(0.6, 1))
    )
    assert fair == pytest.approx(0.5, abs=0.01)
    assert biased == pytest.approx(0.4, abs=0.01)
