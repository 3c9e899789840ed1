"""Bit-sliced draws: 64 cells at a time, every cell with its own probability.

A *lane* is one cell; word w holds lanes 64 w … 64 w + 63, the first one in the most significant bit. A *law* is the
pair of probabilities (from P, from AP) of every lane, as thresholds of 32 bits stored as bit planes, most significant
first: a draw compares the bits of a random number with those of the thresholds until every lane has decided, about
seven random words for 64 lanes, and is exact for every lane's own (32-bit) probability. Random words are a function of
key and counter alone (SplitMix64's finaliser), so results do not depend on how the pulses are cut into blocks.
"""

import sys
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

# Every constant is uint64: numba turns uint64 mixed with int64 into float64, uint32 with int64 into int64.
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SIX = np.uint64(6)
_64 = np.uint64(64)
_63 = np.uint64(63)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
# Random words set aside for one lane word in one pulse: five draws of at most 32 each.
_STAGE = np.uint64(32)
_STRIDE = np.uint64(5 * 32)
_STAGE_WRITE, _STAGE_OUTCOME, _STAGE_FIRST = np.uint64(0), np.uint64(32), np.uint64(64)
_STAGE_RESET, _STAGE_CHECK = np.uint64(96), np.uint64(128)
_LITTLE_ENDIAN = sys.byteorder == "little"


@dataclass(frozen=True)
class Law:
    """Probabilities of every lane from both states, ready for the kernels.

    `planes` uint64 (words, 32, 2): threshold bit k of lane l of word w, from P and from AP; `sure` uint64 (words, 2):
    lanes whose probability is 1; `open` uint64 (words,): lanes that need a random number in one of the states.
    """

    planes: Words
    sure: Words
    open: Words

    @classmethod
    def from_probabilities(
        cls, from_parallel: NDArray[np.float64], from_antiparallel: NDArray[np.float64]
    ) -> "Law":
        """Round the probabilities, both of shape (lanes,), to multiples of 2⁻³²."""
        lanes = len(from_parallel)
        words = -(-lanes // 64)
        planes = np.zeros((words, 32, 2), np.uint64)
        sure = np.zeros((words, 2), np.uint64)
        undecided = np.zeros(lanes, bool)
        for state, probability in enumerate((from_parallel, from_antiparallel)):
            threshold = np.rint(np.clip(probability, 0.0, 1.0) * 2.0**32).astype(np.uint64)
            certain = threshold == 1 << 32
            undecided |= (threshold != 0) & ~certain
            sure[:, state] = pack_lanes(certain)
            threshold = np.minimum(threshold, (1 << 32) - 1)
            for k in range(32):
                planes[:, k, state] = pack_lanes((threshold >> np.uint64(31 - k)) & _ONE)
        return cls(planes, sure, pack_lanes(undecided))


def pack_lanes(bits: NDArray) -> Words:
    """Pack (lanes,) truth values into uint64 words, first lane in the most significant bit, padded with zeros."""
    packed = np.packbits(np.asarray(bits).astype(bool))
    padded = np.zeros(-(-len(bits) // 64) * 8, np.uint8)
    padded[: len(packed)] = packed
    return padded.view(">u8").astype(np.uint64)


def unpack_lanes(words: Words, lanes: int) -> NDArray[np.bool_]:
    """Undo `pack_lanes`: bool of shape (lanes,)."""
    return np.unpackbits(words.astype(">u8").view(np.uint8), count=lanes).astype(bool)


def keys(*entropy: int) -> tuple[np.uint64, np.uint64]:
    """Two independent 64-bit keys from non-negative integers."""
    first, second = np.random.SeedSequence(entropy).generate_state(2, np.uint64)
    return np.uint64(first), np.uint64(second)


@numba.njit(cache=True, nogil=True, inline="always")
def _random(key, key2, counter):
    z = key + counter * _GAMMA
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ key2 ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@numba.njit(cache=True, nogil=True, inline="always")
def _draw(planes, sure, wanted_open, w, state, wanted, key, key2, counter):
    """Lanes of `wanted` whose random number is below their threshold."""
    hit = wanted & ((sure[w, 0] & ~state) | (sure[w, 1] & state))
    undecided = wanted & wanted_open[w]
    for k in range(32):
        if undecided == _ZERO:
            break
        random = _random(key, key2, counter)
        counter += _ONE
        plane = (planes[w, k, 0] & ~state) | (planes[w, k, 1] & state)
        hit |= undecided & plane & ~random
        undecided &= ~(plane ^ random)
    return hit


@numba.njit(cache=True, nogil=True, inline="always")
def _put(out, position, value):
    """Set the bits of `value` (most significant first) in the zeroed stream `out` from bit `position`."""
    index = position >> _SIX
    shift = position & _63
    out[index] |= value >> shift
    if shift != _ZERO:
        out[index + _ONE] |= value << (_64 - shift)


@numba.njit(cache=True, nogil=True, inline="always")
def _count(word):
    count = 0
    while word != _ZERO:
        word &= word - _ONE
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def toggle(
    state, used, lanes, pulses, first_pulse, position, key, key2, out,
    write_planes, write_sure, write_open, read_planes, read_sure, read_open,
):  # fmt: skip
    """Write pulse and reading, `pulses` times: bits into the stream `out` from bit `position`; `state` moves on."""
    words = len(state)
    lanes = np.uint64(lanes)
    row = np.uint64(position)
    base = np.uint64(first_pulse) * np.uint64(words) * _STRIDE
    for _ in range(pulses):
        at = row
        for w in range(words):
            s = state[w]
            u = used[w]
            s ^= _draw(write_planes, write_sure, write_open, w, s, u, key, key2, base + _STAGE_WRITE)
            state[w] = s
            bits = _draw(read_planes, read_sure, read_open, w, s, u, key, key2, base + _STAGE_OUTCOME)
            _put(out, at, bits)
            at += _64
            base += _STRIDE
        row += lanes


@numba.njit(cache=True, nogil=True)
def repeat(used, lanes, pulses, position, valid):
    """Validity of `pulses` pulses in which only masked cells are invalid, into `valid` from bit `position`."""
    row = np.uint64(position)
    for _ in range(pulses):
        at = row
        for w in range(len(used)):
            _put(valid, at, used[w])
            at += _64
        row += np.uint64(lanes)


@numba.njit(cache=True, nogil=True)
def reset_write(
    state, used, lanes, pulses, first_pulse, position, key, key2, out, valid,
    write_planes, write_sure, write_open, reset_planes, reset_sure, reset_open,
    read_planes, read_sure, read_open, outcome_planes, outcome_sure, outcome_open,
):  # fmt: skip
    """Read, reset what reads AP, check, write, read, `pulses` times; returns the number of failed resets.

    Bits go to the stream `out` and their validity to `valid`, from bit `position`; a failed reset's bit is 0.
    """
    words = len(state)
    lanes = np.uint64(lanes)
    row = np.uint64(position)
    base = np.uint64(first_pulse) * np.uint64(words) * _STRIDE
    failures = 0
    for _ in range(pulses):
        at = row
        for w in range(words):
            s = state[w]
            u = used[w]
            high = _draw(read_planes, read_sure, read_open, w, s, u, key, key2, base + _STAGE_FIRST)
            s ^= _draw(reset_planes, reset_sure, reset_open, w, s, high, key, key2, base + _STAGE_RESET)
            failed = _draw(read_planes, read_sure, read_open, w, s, u, key, key2, base + _STAGE_CHECK)
            s ^= _draw(write_planes, write_sure, write_open, w, s, u, key, key2, base + _STAGE_WRITE)
            state[w] = s
            bits = _draw(
                outcome_planes, outcome_sure, outcome_open, w, s, u, key, key2, base + _STAGE_OUTCOME
            )
            failures += _count(failed)
            _put(out, at, bits & ~failed)
            _put(valid, at, u & ~failed)
            at += _64
            base += _STRIDE
        row += lanes
    return failures


@numba.njit(cache=True, nogil=True)
def _swap_bytes(words):
    for i in range(len(words)):
        x = words[i]
        x = ((x & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)) | (
            (x >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
        )
        x = ((x & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)) | (
            (x >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
        )
        words[i] = (x << np.uint64(32)) | (x >> np.uint64(32))


def to_packbits(stream: Words) -> None:
    """Turn a finished stream in place into the bytes that `numpy.packbits` would give."""
    if _LITTLE_ENDIAN:
        _swap_bytes(stream)


@numba.njit(cache=True, nogil=True)
def gaussian(key, key2, first, out):
    """Fill `out` (float64) with standard normals number `first`, `first` + 1, … of this key (Box and Muller 1958)."""
    scale = 2.0**-53
    counter = np.uint64(first) * np.uint64(2)
    for i in range(len(out)):
        u = (np.float64(_random(key, key2, counter) >> np.uint64(11)) + 0.5) * scale
        v = np.float64(_random(key, key2, counter + _ONE) >> np.uint64(11)) * scale
        out[i] = np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)
        counter += np.uint64(2)
