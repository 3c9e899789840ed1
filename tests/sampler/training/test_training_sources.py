"""Each random number of a training comes from the source of its name, and is billed and counted there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from entropy import Store, Toeplitz, Xor
from sampler import (
    BiasedSource,
    CorrelatedSource,
    DataSet,
    SamplerError,
    SoftwareSource,
    StoreSource,
    StuckSource,
    TrainSettings,
    hardware_noise,
    load_checkpoint,
    train,
    training_bill,
    training_stream,
)
from sampler.processes import draw, forward_law
from sampler.training import NamedSources, _objective
from sampler.training._run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "make",
    [SoftwareSource, lambda seed: BiasedSource(0.3, seed), lambda seed: CorrelatedSource(0.4, seed),
     lambda seed: StuckSource(0.1, seed, cells=64)],
)  # fmt: skip
def test_a_software_stream_skips_what_it_would_have_read(make: Callable[[int], SoftwareSource]) -> None:
    drawn = np.random.default_rng()
    read, skipped = make(5), make(5)
    for _ in range(20):
        bits = 8 * int(drawn.integers(0, 200))
        read.read(bits)
        skipped.skip(bits)
        more = 8 * int(drawn.integers(0, 60))
        assert np.array_equal(read.read(more), skipped.read(more))
        assert read.provenance() == skipped.provenance()
    with pytest.raises(SamplerError):
        skipped.skip(-8)


def test_every_number_comes_from_the_source_of_its_name(
    settings: TrainSettings, data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("weights", "shuffle", "timesteps", "diffusion")
    named = NamedSources({name: training_stream(name, 7) for name in names})
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def drawn(scheduler: DDPMScheduler, clean: torch.Tensor, steps: torch.Tensor) -> Any:
        law = forward_law(scheduler, clean, steps)
        noisy, noise = draw(law)
        assert torch.equal(noisy, scheduler.add_noise(clean, noise, steps))  # pyright: ignore[reportArgumentType]
        seen.append((clean, noise, steps))
        return noisy, noise

    monkeypatch.setattr(_objective, "forward_law", drawn)
    monkeypatch.setattr(_objective, "draw", lambda pair: pair)
    with hardware_noise(named):
        run = Run(settings, data, named, None)
        first = {k: v.clone() for k, v in run.model.state_dict().items()}
        orders = []
        for _ in range(6):
            run.step()
            orders.append(run.order.clone())
    # The same numbers, drawn by torch from each stream by itself.
    with hardware_noise(training_stream("diffusion", 7)):
        assert all(torch.equal(noise, torch.randn(8, 1, 8, 8)) for _, noise, _ in seen)
    with hardware_noise(training_stream("timesteps", 7)):
        assert all(torch.equal(steps, torch.randint(0, 1000, (8,))) for _, _, steps in seen)
    with hardware_noise(training_stream("shuffle", 7)):
        assert torch.equal(orders[0], torch.randperm(40))
        assert torch.equal(orders[5], torch.randperm(40))
    images = data.tensor().float().div(127.5).sub(1)
    assert torch.equal(torch.cat([clean for clean, _, _ in seen[:5]]), images[orders[0]])
    other = NamedSources({name: training_stream(name, 7 if name == "weights" else 8) for name in names})
    with hardware_noise(other):
        again = Run(settings, data, other, None)
    assert all(torch.equal(v, first[k]) for k, v in again.model.state_dict().items())


def test_a_draw_without_a_name_raises() -> None:
    named = NamedSources({"diffusion": SoftwareSource(1)})
    with hardware_noise(named):
        with pytest.raises(SamplerError, match="without a name"):
            torch.randn(3)
        with named.drawing("dropout"), pytest.raises(SamplerError, match="dropout, which has no source"):
            torch.randn(3)


def test_sources_for_unknown_names_are_one_sentence(settings: TrainSettings, data: DataSet) -> None:
    for name, words in (("noise", "draws no 'noise'"), ("dropout", "does not have")):
        with pytest.raises(SamplerError, match=words):
            train(settings, {name: SoftwareSource(1)}, data=data)


def test_a_batch_larger_than_the_data_goes_through_several_epochs(
    settings: TrainSettings, data: DataSet
) -> None:
    named = NamedSources({name: training_stream(name, 7) for name in ("weights", "shuffle")})
    run_settings = replace(settings, batch=100)
    with hardware_noise(named):
        run = Run(run_settings, data, named, None)
        chosen = run._batch()
    assert sorted(chosen[:40].tolist()) == sorted(chosen[40:80].tolist()) == list(range(40))
    assert len(chosen) == 100


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_bill_is_what_is_read_but_for_rejections(
    dropout: float, settings: TrainSettings, data: DataSet
) -> None:
    settings = replace(settings, architecture=replace(settings.architecture, dropout=dropout))
    bill = training_bill(settings, images=len(data))
    card = load_checkpoint(train(settings, data=data)).card
    read = {name: own["bits"] for name, own in card["entropy"]["names"].items()}
    billed = {line.name: line.bits for line in bill.names}
    assert set(read) == set(billed)
    assert ("dropout" in read) is bool(dropout)
    for name in read:
        # Three stretches, each with at most a handful of words more.
        spare = 3 * 10 * 32 if name in ("shuffle", "timesteps") else 0
        assert read[name] <= billed[name] <= read[name] + spare
    assert (
        sum(sum(epoch["bits"].values()) for epoch in card["epochs"]) == sum(read.values()) - read["weights"]
    )
    assert [epoch["number"] for epoch in card["epochs"]] == [1, 2]
    # Two epochs of forty pictures: what each took is what the bill says of one.
    each = [sum(epoch["bits"].values()) for epoch in card["epochs"]]
    assert all(0 <= bill.each_epoch[0] - bits <= 3 * 10 * 32 for bits in each)
    assert f"{bill.each_epoch[0]:,} bits of noise" in str(bill)


@pytest.mark.parametrize("conditioning", [Xor(3), Toeplitz()])
def test_only_the_diffusion_noise_from_a_store(
    conditioning: Xor | Toeplitz, settings: TrainSettings, data: DataSet, recorded: Callable[[int], Store]
) -> None:
    store = recorded(1_000_000)
    source = StoreSource(store, conditioning)
    bill = training_bill(settings, {"diffusion": source}, images=len(data))
    card = load_checkpoint(train(settings, {"diffusion": source}, data=data)).card
    own = card["entropy"]["names"]["diffusion"]
    provenance = card["entropy"]["sources"][own["source"]]
    assert own["bits"] == 10 * 8 * 64 * 32
    assert provenance["conditioning"] == conditioning.name
    assert provenance["simulated"] is True
    accounts = store.accounts()
    assert accounts.balanced
    assert accounts.consumed == own["recorded"] == provenance["bits"] <= bill.recorded
    assert accounts.burned == accounts.leased == 0
    assert store.requests() == []
    if isinstance(conditioning, Xor):
        assert accounts.consumed == bill.recorded == 3 * own["bits"]


def test_a_store_with_too_few_bits_is_refused_before_anything_is_leased(
    settings: TrainSettings, data: DataSet, recorded: Callable[[int], Store]
) -> None:
    store = recorded(1_000_000)
    with pytest.raises(SamplerError, match="bits"):
        train(settings, StoreSource(store), data=data)
    accounts = store.accounts()
    assert accounts.free == accounts.recorded
    assert not settings.out.exists()
