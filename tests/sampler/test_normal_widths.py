"""Normals of fewer bits: the compiled maps are their definition, whatever the size, layout, batch and threads."""

import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri

from entropy import Conditioning, NoConditioning, PublicMask, Store, Xor
from sampler import (
    NOISE_MAP,
    NORMAL_WIDTHS,
    Checkpoint,
    LeaseSource,
    SamplerError,
    SampleSettings,
    SoftwareSource,
    bill,
    hardware_noise,
    normal_bits,
    normal_levels,
    normal_levels_sha256,
    normals,
    sample,
)
from sampler._noise_map import normals_of_parts, normals_reference

NARROW = tuple(w for w in NORMAL_WIDTHS if w < 32)
SIZES = (0, 1, 2, 3, 5, 7, 8, 9, 31, 255, 256, 257, 1023, 20_001)
# The SHA-256 of each width's levels. These never change: a picture's replay rests on them.
GOLDEN = {
    32: "f8ad83a0df8fd5fffab9599c82b6dbf3c1eb9ea71b99b69a4829d7742965da6b",
    16: "be3f56ff088b70d83faf9aafd84f60c41436522f7b6dc1ffc28fb396477b643e",
    12: "1df9e9728730d3b613e929993526e35dd21073076021a02241b5c66be376b26c",
    8: "b31bfc2ad4d93764ea4a4d045d8f5b50907298a40614708a3930512df1f26016",
    4: "83ba7b572e5b83427a048e54f607bae551935e4c89aded0c82daf722e6c3675f",
    2: "474167c9ba0dff04b0b498731fda75c732c115e10bf201e8c6af1dfa66074211",
    1: "dee9bee38d8ce139ee23552fc0ca83067114ae903518d7711ba7937b72c0d697",
}


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Bit for bit."""
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


def random_bits(bits: int) -> np.ndarray:
    return np.frombuffer(os.urandom(bits // 8), np.uint8)


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_the_kernels_equal_the_definition_bit_for_bit(width: int) -> None:
    for count in SIZES:
        packed = random_bits(normal_bits(count, width))
        assert equal(normals(packed, width=width, count=count), normals_reference(packed, width, count))


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_all_words_of_a_width_are_mapped_as_defined(width: int) -> None:
    every = np.arange(1 << 16, dtype=">u2").view(np.uint8)
    assert equal(normals(every, width=width), normals_reference(every, width))


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_batches_and_threads_change_nothing(width: int) -> None:
    count = (1 << 20) + 24
    packed = random_bits(normal_bits(count, width))
    expected = normals_reference(packed, width, count)
    for threads in (1, 2, 3):
        assert equal(normals(packed, width=width, count=count, threads=threads), expected)
    cut, at = [], 0
    for size in (8, 999_992, 16, 48_568, 16):
        part = packed[at * width // 8 : (at + size) * width // 8]
        cut.append(normals(part, width=width))
        at += size
    assert at == count
    assert equal(np.concatenate(cut), expected)


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_bits_and_numbers_may_start_anywhere_in_memory(width: int) -> None:
    packed = random_bits(8 * 4_001)[1:]
    out = np.zeros(1_001, np.float32)
    assert equal(normals(packed, out[1:], width=width, count=1_000), normals_reference(packed, width, 1_000))
    assert out[0] == 0


def test_the_first_bit_is_the_sign_and_the_first_number_the_first_bits() -> None:
    assert normals(np.array([0b10110000], np.uint8), width=1).tolist() == [-1, 1, -1, -1, 1, 1, 1, 1]
    levels = normal_levels(2).tolist()
    assert normals(np.array([0b00011011], np.uint8), width=2).tolist() == levels
    assert normals(np.array([0xAB, 0xCD, 0xEF], np.uint8), width=12).tolist() == [
        normal_levels(12)[0xABC],
        normal_levels(12)[0xDEF],
    ]
    assert normals(np.array([0xAB, 0xCD], np.uint8), width=4).tolist() == [
        normal_levels(4)[d] for d in (0xA, 0xB, 0xC, 0xD)
    ]


@pytest.mark.parametrize("width", NARROW)
def test_levels_are_midpoint_quantiles_of_unit_variance(width: int) -> None:
    half = 1 << (width - 1)
    levels, quantiles = normal_levels(width), -ndtri((np.arange(half) + 0.5) / 2**width)
    expected = quantiles / math.sqrt(math.fsum(quantiles**2) / half)
    spacing = np.spacing(levels[:half]).astype(np.float64)
    assert np.max(np.abs(levels[:half] - expected) / spacing) < 0.51
    assert np.mean(levels.astype(np.float64) ** 2) == pytest.approx(1, abs=1e-7)
    assert equal(levels[half:], -levels[:half])
    assert np.all(np.diff(levels[:half]) < 0)


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_the_identity_of_each_width_is_the_hash_of_its_levels(width: int) -> None:
    assert normal_levels_sha256(width) == GOLDEN[width]
    if width == 32:
        assert GOLDEN[32] == NOISE_MAP.sha256
    else:
        assert hashlib.sha256(normal_levels(width).astype("<f4").tobytes()).hexdigest() == GOLDEN[width]
        assert not normal_levels(width).flags.writeable


def test_levels_that_differ_from_the_map_s_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from sampler import _normal_levels

    exact = _normal_levels.quantile
    monkeypatch.setattr(_normal_levels, "quantile", lambda x: exact(x) * (1 + 1e-6 * (x > 2**30)))
    with pytest.raises(SamplerError, match="differ from noise map 1"):
        normal_levels.__wrapped__.__wrapped__(8)


def test_wrong_widths_bits_and_sizes_are_refused() -> None:
    three, four = np.zeros(3, np.uint8), np.zeros(4, np.uint8)
    for call, words in (
        (lambda: normals(three, width=3), "32, 16, 12, 8, 4, 2 or 1 bits, not 3"),
        (lambda: normal_levels_sha256(0), "not 0"),
        (lambda: normal_levels(32), "only those of 16, 12, 8, 4, 2 and 1 bits"),
        (lambda: normals(four, width=12, count=3), "3 normals of 12 bits take 36 bits, not 32"),
        (
            lambda: normals(three, np.empty(3, np.float32), width=12, count=2),
            "2 normals do not fill an array of 3",
        ),
    ):
        with pytest.raises(SamplerError, match=words):
            call()
    for count, words in ((1, "fewer"), (3, "more")):
        for threads in (1, 2):
            with pytest.raises(SamplerError, match=f"{words} bits were read than 4 normals take"):
                normals_of_parts([np.zeros(8, np.uint8)] * count, np.empty(4, np.float32), threads=threads)


def test_the_page_says_what_the_laws_are_like() -> None:
    page = Path(__file__).parents[2] / "docs" / "noise-map.md"
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in page.read_text("utf-8").splitlines()]
    told = {int(c[0]): c[1:] for c in cells if len(c) == 6 and c[0].isdigit()}
    assert told == {width: _described(width) for width in NORMAL_WIDTHS}
    hashes = {int(c[0]): c[1].split("`")[1] for c in cells if len(c) == 2 and c[0].isdigit()}
    assert hashes == GOLDEN


def _described(width: int) -> list[str]:
    if width == 32:
        small, large, kurtosis, distance = _of_32_bits()
    else:
        z = np.sort(normal_levels(width)).astype(np.float64)
        steps, phi = np.arange(len(z) + 1) / len(z), ndtr(z)
        assert abs(np.mean(z)) < 1e-12
        assert abs(np.mean(z**2) - 1) < 5e-8
        small, large, kurtosis = z[len(z) // 2], z[-1], np.mean(z**4)
        distance = max(np.max(np.abs(steps[1:] - phi)), np.max(np.abs(steps[:-1] - phi)))
    return [str(2**width), f"{small:.3e}", f"{large:.3f}", f"{kurtosis:.4f}", f"{distance:.1e}"]


def _of_32_bits() -> tuple[float, float, float, float]:
    """The outermost 2²² magnitudes one by one, the others (close together) by the integrals of the normal law."""
    ends = normals(np.array([0x7FFFFFFF, 0], ">u4").view(np.uint8)).astype(np.float64)
    outer = 1 << 22
    z = normals(np.arange(outer, dtype=">u4").view(np.uint8)).astype(np.float64)
    edge = -ndtri(outer / 2**32)
    density, half = math.exp(-(edge**2) / 2) / math.sqrt(2 * math.pi), ndtr(edge) - 0.5
    variance = 2 * (math.fsum(z**2) / 2**32 + half - edge * density)
    fourth = 2 * (math.fsum(z**4) / 2**32 + 3 * half - (edge**3 + 3 * edge) * density)
    assert abs(variance - 1) < 1e-8
    # rounding to float32 is coarsest, for the density there, just above 1
    words = np.arange(-(1 << 16), 0) + int(ndtr(-1.0) * 2**32)
    above = ndtr(-normals(words.astype(">u4").view(np.uint8)).astype(np.float64))
    distance = max(np.max(np.abs(above - (words + step) / 2**32)) for step in (0, 1))
    return float(ends[0]), float(ends[1]), fourth, float(distance)


# --- through the hook


def mapped(seed: int, width: int, count: int, skip: int = 0, stream: int = 0) -> torch.Tensor:
    source = SoftwareSource(seed, stream)
    source.read(skip)
    packed = source.read(normal_bits(count, width))
    return torch.from_numpy(normals_reference(packed, width, count))


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_each_draw_reads_whole_bytes(width: int) -> None:
    source, skip = SoftwareSource(3), 0
    with hardware_noise(source, bits_per_normal=width):
        for count in (3, 1, 8, 77):
            assert torch.equal(torch.randn(count), mapped(3, width, count, skip))
            skip += -(-count * width // 8) * 8
            assert source.bits == skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_every_type_and_layout_gets_the_same_numbers(width: int, dtype: torch.dtype) -> None:
    expected = mapped(3, width, 35).view(5, 7).to(dtype)
    with hardware_noise(SoftwareSource(3), bits_per_normal=width):
        plain = torch.randn(5, 7, dtype=dtype)
    with hardware_noise(SoftwareSource(3), bits_per_normal=width):
        strided = torch.zeros(7, 10, dtype=dtype).t()[::2].normal_()
    with hardware_noise(SoftwareSource(3), bits_per_normal=width):
        scaled = torch.empty(5, 7, dtype=dtype).normal_(1, 2)
    assert torch.equal(plain, expected)
    assert torch.equal(strided, expected)
    assert torch.equal(scaled, expected * 2 + 1)


@pytest.mark.parametrize("width", NORMAL_WIDTHS)
def test_each_picture_s_slice_is_mapped_from_its_own_stream(width: int) -> None:
    with hardware_noise(SoftwareSource(3), pictures=4, bits_per_normal=width) as hook:
        first, second = torch.randn(4, 3, 5), torch.randn(4, 3)
    used = normal_bits(15, width)
    for b in range(4):
        assert torch.equal(first[b], mapped(3, width, 15, stream=b + 1).view(3, 5))
        assert torch.equal(second[b], mapped(3, width, 3, used, stream=b + 1))
    read = [stream.provenance()["bits"] for stream in hook.streams]
    assert read == [used + normal_bits(3, width)] * 4


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("width", NORMAL_WIDTHS)
@pytest.mark.parametrize("conditioning", [NoConditioning(), Xor(2), Xor(3)])
def test_a_run_reads_what_its_bill_says(
    tiny: Checkpoint, recorded: Callable[[int], Store], width: int, conditioning: Conditioning
) -> None:
    settings = SampleSettings("ddim", 4, eta=1.0, microbatch=2, bits_per_normal=width)
    cost = bill(tiny, settings, 3, conditioning)
    assert cost.bits_each == cost.draws * normal_bits(cost.pixels, width)
    assert f"× {width} bits ×" in str(cost)
    with recorded(cost.recorded) as store:
        with store.lease(cost.recorded, purpose="test") as lease:
            samples = sample(tiny, [1, 2, 3], LeaseSource(lease, conditioning), settings)
        assert store.accounts().consumed == cost.recorded
    assert [p.provenance["bits"]["bits"] for p in samples.pictures] == [cost.recorded_each] * 3


@pytest.mark.parametrize("first", [0, 8, 24, 32, 5])
@pytest.mark.parametrize("conditioning", [NoConditioning(), Xor(2), Xor(3), PublicMask()])
def test_a_large_draw_is_mapped_in_parts_to_the_same_numbers(
    recorded: Callable[[int], Store], conditioning: Conditioning, first: int
) -> None:
    # blocks of 32 KiB: the draw takes several, begins anywhere in one, and groups of words go on in the next
    count = 70_001
    needed = conditioning.bits_in(32 * count)
    with recorded(first + needed) as store:
        with store.lease(first + needed, purpose="test") as lease:
            lease.read(first)
            source = LeaseSource(lease, conditioning)
            with hardware_noise(source):
                drawn = torch.randn(count)
            assert lease.remaining == 0
            again = store.recorded(lease.ranges)
        again.read(first)
        packed = conditioning.read(again, 32 * count)
    assert source.provenance()["bits"] == first + needed
    assert equal(drawn.numpy(), normals_reference(packed))


def test_a_large_draw_from_too_small_a_lease_is_one_sentence(recorded: Callable[[int], Store]) -> None:
    with recorded(1 << 21) as store, store.lease(1 << 21, purpose="test") as lease:
        with hardware_noise(LeaseSource(lease, NoConditioning())):
            with pytest.raises(
                SamplerError, match="wants 3,200,000 more recorded bits and the lease holds 2,097,152"
            ):
                torch.randn(100_000)
        assert lease.remaining == 1 << 21
