"""Sources: what they give, that streams share nothing, and that a lease is read exactly."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from entropy import NoConditioning, PublicMask, Store, Toeplitz, VonNeumann, Xor, conditioning_from_name
from sampler import (
    BiasedSource,
    ConditionedSource,
    ConstantSource,
    CorrelatedSource,
    LeaseSource,
    OperatingSystemSource,
    RepeatedSource,
    SamplerError,
    SoftwareSource,
    Source,
    StuckSource,
)
from sampler.sources import source_again, streams_of

MILLION = 1 << 20
FALSE_ALARM = 1e-6


def ones(packed: np.ndarray) -> int:
    return int(np.bitwise_count(packed).sum())


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftwareSource(5),
        lambda: BiasedSource(0.3, 5),
        lambda: CorrelatedSource(0.3, 5),
        lambda: StuckSource(0.1, 5),
        lambda: ConstantSource(1, 5),
        lambda: RepeatedSource(640, 5),
        lambda: ConditionedSource(BiasedSource(0.3, 5), Xor(2)),
        lambda: ConditionedSource(ConstantSource(0, 5), PublicMask()),
    ],
)
def test_how_a_stream_is_cut_into_reads_makes_no_difference(make: Callable[[], Source]) -> None:
    whole = make().read(8000)
    again = make()
    assert np.array_equal(whole, np.concatenate([again.read(n) for n in (32, 1024, 0, 64, 6880)]))
    remade = source_again(again.provenance())
    assert remade is not None
    assert np.array_equal(whole, remade.read(8000))
    assert again.provenance()["bits"] in (
        8000,
        16000,
    )  # of noise, or of the two that each bit of it is made of


@pytest.mark.parametrize(
    "source",
    [
        SoftwareSource(5),
        StuckSource(0.1),
        OperatingSystemSource(),
        ConditionedSource(SoftwareSource(5), Xor(2)),
    ],
)
def test_a_stream_is_read_by_whole_bytes(source: Source) -> None:
    with pytest.raises(SamplerError, match="by whole bytes, not by 12 bits"):
        source.read(12)


@pytest.mark.parametrize("source", [SoftwareSource(5), OperatingSystemSource(), BiasedSource(0.5, 5)])
def test_pictures_have_streams_of_their_own(source: Source) -> None:
    streams = [*streams_of(source, 3), *streams_of(source, 2), source]
    first = {s.read(256).tobytes() for s in streams}
    assert len(first) == 6


def test_biased_bits_have_their_bias() -> None:
    count = ones(BiasedSource(0.52, 1).read(MILLION))
    assert stats.binomtest(count, MILLION, 0.52).pvalue > FALSE_ALARM
    assert stats.binomtest(count, MILLION, 0.5).pvalue < FALSE_ALARM


def test_correlated_bits_are_fair_and_have_their_correlation() -> None:
    bits = np.unpackbits(CorrelatedSource(0.3, 1).read(MILLION)).astype(float) - 0.5
    # 0.02 and 0.01 are more than ten standard errors of a chain of a million bits.
    assert abs(bits.mean()) < 0.02
    assert abs(np.mean(bits[1:] * bits[:-1]) * 4 - 0.3) < 0.01


def test_stuck_cells_never_change() -> None:
    array = np.unpackbits(StuckSource(0.1, 1).read(1024 * 200)).reshape(200, 1024)
    # A cell that is free says the same 200 times with a chance of 2^-199.
    assert int((array == array[0]).all(axis=0).sum()) == round(0.1 * 1024)


@pytest.mark.parametrize(
    "wrong", [lambda: BiasedSource(1.5), lambda: CorrelatedSource(2), lambda: SoftwareSource(-1)]
)
def test_impossible_sources_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(SamplerError):
        wrong()


def test_a_lease_source_gives_the_conditioned_bits_of_its_lease(recorded: Callable[[int], Store]) -> None:
    store = recorded(100_000)
    with store.lease(64 * 500, purpose="test") as lease:
        source = LeaseSource(lease, Xor(2), simulated=True)
        got = source.read(32 * 300)
        provenance = source.provenance()
    raw = store.read([tuple(r) for r in provenance["ranges"]]).view(np.uint32)
    assert np.array_equal(got.view(np.uint32), raw[::2] ^ raw[1::2])
    assert provenance["bits"] == 64 * 300
    assert (provenance["conditioning"], provenance["simulated"]) == ("xor2", True)
    assert store.accounts().consumed == 64 * 300


def test_pictures_of_a_lease_share_no_bit_and_read_no_more_than_asked(
    recorded: Callable[[int], Store],
) -> None:
    store = recorded(300_000)
    with store.lease(300_000, purpose="test") as lease:
        streams = streams_of(LeaseSource(lease, Xor(2)), 3, 32 * 1000)
        got = [np.concatenate([s.read(32 * 400), s.read(32 * 600)]) for s in streams]
        ranges = [tuple(r) for s in streams for r in s.provenance()["ranges"]]
        with pytest.raises(SamplerError, match="wants"):
            streams[0].read(32)
    raw = store.read(ranges).view(np.uint32)
    assert np.array_equal(np.concatenate(got).view(np.uint32), raw[::2] ^ raw[1::2])
    taken = sorted(ranges)
    assert all(a[1] + a[2] <= b[1] for a, b in pairwise(taken))
    accounts = store.accounts()
    assert accounts.consumed == 3 * 64 * 1000
    assert accounts.balanced


def test_without_a_bill_pictures_share_the_lease_evenly_and_read_nothing_ahead(
    recorded: Callable[[int], Store],
) -> None:
    store = recorded(300_000)
    with store.lease(3 * 64_000, purpose="test") as lease:
        streams = streams_of(LeaseSource(lease, NoConditioning()), 3)
        for stream in streams:
            stream.read(640)
        with pytest.raises(SamplerError, match="wants"):
            streams[1].read(64_000)
    assert store.accounts().consumed == 3 * 640


def test_too_small_a_lease_is_one_sentence(recorded: Callable[[int], Store]) -> None:
    store = recorded(100_000)
    with store.lease(64 * 10, purpose="test") as lease:
        source = LeaseSource(lease)
        with pytest.raises(
            SamplerError, match=r"2 pictures need 1,280 recorded bits and the lease holds 640"
        ):
            source.streams(2, 320)
        with pytest.raises(SamplerError, match="wants 704 more recorded bits and the lease holds 640"):
            source.read(352)


@pytest.mark.parametrize("name", ["von-neumann", "toeplitz:1024/2048", "sha256"])
def test_small_draws_cost_no_more_than_large_ones(name: str, recorded: Callable[[int], Store]) -> None:
    """Each draw alone would cost at least one block of the conditioning, and what it did not need would be dropped."""
    conditioning = conditioning_from_name(name)
    store = recorded(conditioning.bits_in(conditioning.unit + 320 * 100))
    with store.lease(conditioning.bits_in(conditioning.unit + 320 * 100), purpose="test") as lease:
        source = LeaseSource(lease, conditioning)
        got = np.concatenate([source.read(320) for _ in range(100)])
        assert lease.bits - lease.remaining <= conditioning.bits_in(max(320 * 100, conditioning.unit))
        assert len(got) == 100 * 40
        assert len(np.unique(got)) > 200
        with pytest.raises(SamplerError, match=r"wants|what von-neumann makes of"):
            source.read(1 << 24)


def test_a_picture_that_is_read_in_parts_needs_no_more_than_its_bill(
    recorded: Callable[[int], Store],
) -> None:
    """More noise than is read ahead at once, with blocks that do not divide it."""
    conditioning = Toeplitz(4096, 4104)
    bits = 32 * 300_000
    store = recorded(conditioning.bits_in(bits))
    with store.lease(conditioning.bits_in(bits), purpose="test") as lease:
        (stream,) = streams_of(LeaseSource(lease, conditioning), 1, bits)
        parts = [stream.read(32 * 1000) for _ in range(300)]
        assert sum(r[2] for r in stream.provenance()["ranges"]) == lease.bits
        raw = store.read(lease.ranges)
    assert np.array_equal(np.concatenate(parts), conditioning.hash(raw)[: bits // 8])


def test_a_dead_array_behind_a_mask_looks_fair_and_its_raw_bits_do_not() -> None:
    masked = ConditionedSource(ConstantSource(), PublicMask())
    first, second = (stream.read(MILLION) for stream in streams_of(masked, 2))
    assert stats.binomtest(ones(first), MILLION).pvalue > FALSE_ALARM
    assert stats.binomtest(ones(first ^ second), MILLION).pvalue > FALSE_ALARM, (
        "each stream has a mask of its own"
    )
    assert ones(ConstantSource().read(MILLION)) == 0


def test_the_xor_of_two_biased_bits_has_the_bias_that_the_piling_up_lemma_says() -> None:
    count = ones(ConditionedSource(BiasedSource(0.6, 1), Xor(2)).read(MILLION))
    assert stats.binomtest(count, MILLION, 0.48).pvalue > FALSE_ALARM


def test_pictures_of_a_repeated_stretch_read_on_where_the_last_one_ended() -> None:
    whole = RepeatedSource(640, 3).read(4 * 320)
    parts = streams_of(RepeatedSource(640, 3), 3, 320)
    assert np.array_equal(np.concatenate([part.read(320) for part in parts]), whole[: 3 * 40])
    with pytest.raises(SamplerError, match="bits that each will read"):
        RepeatedSource(640).streams(2)


def test_a_conditioning_that_goes_by_cells_is_refused_without_a_store() -> None:
    with pytest.raises(SamplerError, match="pairs the outcomes of each cell"):
        ConditionedSource(SoftwareSource(1), VonNeumann())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [(lambda: ConstantSource(2), "0 or 1"), (lambda: RepeatedSource(100), "multiple of 64")],
)
def test_senseless_controls_are_refused(make: Callable[[], Source], sentence: str) -> None:
    with pytest.raises(SamplerError, match=sentence):
        make()
