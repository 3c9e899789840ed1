"""Bit-sliced draws: 64 cells at a time, every cell with its own probability.

A *lane* is one cell; word w holds lanes 64 w … 64 w + 63, the first one in the most significant bit; 16
words are a group. A *law* is the pair of probabilities (from P, from AP) of every lane, as thresholds of 32
bits stored as bit planes, most significant first: a draw compares the bits of a random number with those of
the thresholds until every lane has decided, about ten random words for 64 lanes, and is exact for every
lane's own (32-bit) probability. Random words are a function of key and counter alone (SplitMix64's
finaliser), so results do not depend on how the pulses are cut into blocks.
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
GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
# Words that are drawn together. With fewer, the compiler unrolls the loop over them and makes no vectors of it: eight
# words took twice the time.
GROUP = 16
# Random words set aside for a group in one pulse: five draws of at most 32 rounds. A counter is never
# stored: what moves is its product with gamma, modulo 2^64.
_MODULUS = 1 << 64


def _skip(rounds: int) -> np.uint64:
    return np.uint64(rounds * GROUP * int(GAMMA) % _MODULUS)


_ROUND, _STRIDE = _skip(1), _skip(5 * 32)
_WRITE, _OUTCOME, _FIRST, _RESET, _CHECK = _skip(0), _skip(32), _skip(64), _skip(96), _skip(128)
_LITTLE_ENDIAN = sys.byteorder == "little"


@dataclass(frozen=True)
class Law:
    """Probabilities of every lane from both states, ready for the kernels.

    `planes` uint64 (groups, 32, 2, 16): bit k of the thresholds of the lanes of a word, from P and from AP;
    `sure` uint64 (groups, 2, 16): lanes whose probability is 1; `unsure` uint64 (groups, 16): lanes that need
    a random number in one of the states.
    """

    planes: Words
    sure: Words
    unsure: Words

    @classmethod
    def from_probabilities(
        cls, from_parallel: NDArray[np.float64], from_antiparallel: NDArray[np.float64]
    ) -> "Law":
        """Round the probabilities, both of shape (lanes,), to multiples of 2⁻³²."""
        groups = -(-len(from_parallel) // (64 * GROUP))
        planes = np.zeros((groups, 32, 2, GROUP), np.uint64)
        sure = np.zeros((groups, 2, GROUP), np.uint64)
        unsure = np.zeros((groups, GROUP), np.uint64)
        for state, probability in enumerate((from_parallel, from_antiparallel)):
            _slice(np.ascontiguousarray(probability, np.float64), state, planes, sure, unsure)
        return cls(planes, sure, unsure)


@numba.njit(cache=True, nogil=True)
def _slice(probability, state, planes, sure, unsure):
    """Cut the thresholds of all lanes into bit planes."""
    threshold = np.zeros(64, np.uint64)
    for first in range(0, len(probability), 64):
        g, j = first // (64 * GROUP), first // 64 % GROUP
        certain, open_ = _ZERO, _ZERO
        threshold[:] = _ZERO
        for lane in range(first, min(first + 64, len(probability))):
            place = _ONE << np.uint64(63 - lane % 64)
            rounded = np.uint64(np.rint(min(max(probability[lane], 0.0), 1.0) * 4294967296.0))
            if rounded >> np.uint64(32) != _ZERO:
                certain |= place
                rounded = np.uint64(0xFFFFFFFF)
            elif rounded != _ZERO:
                open_ |= place
            threshold[lane % 64] = rounded
        for k in range(32):
            plane = _ZERO
            for lane in range(64):
                plane |= ((threshold[lane] >> np.uint64(31 - k)) & _ONE) << np.uint64(63 - lane)
            planes[g, k, state, j] = plane
        sure[g, state, j] = certain
        unsure[g, j] |= open_


def pack_lanes(bits: NDArray) -> Words:
    """Pack (lanes,) truth values into uint64 (groups, 16), first lane most significant, padded with zeros."""
    packed = np.packbits(np.asarray(bits).astype(bool))
    padded = np.zeros(-(-len(bits) // (64 * GROUP)) * 8 * GROUP, np.uint8)
    padded[: len(packed)] = packed
    return padded.view(">u8").astype(np.uint64).reshape(-1, GROUP)


def unpack_lanes(words: Words, lanes: int) -> NDArray[np.bool_]:
    """Undo `pack_lanes`: bool of shape (lanes,)."""
    return np.unpackbits(words.astype(">u8").reshape(-1).view(np.uint8), count=lanes).astype(bool)


def keys(*entropy: int) -> tuple[np.uint64, np.uint64]:
    """Two independent 64-bit keys from non-negative integers."""
    first, second = np.random.SeedSequence(entropy).generate_state(2, np.uint64)
    return np.uint64(first), np.uint64(second)


@numba.njit(cache=True, nogil=True, inline="always")
def mix(z, key2):
    """A random word from a counter times `GAMMA` and a key (SplitMix64's finaliser)."""
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ key2 ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@numba.njit(cache=True, nogil=True, inline="always")
def _draw(planes, sure, unsure, g, state, wanted, hit, undecided, z, key2):
    """Into `hit`: lanes of `wanted` (all (16,)) whose random number is below their threshold."""
    left = _ZERO
    for j in range(GROUP):
        s = state[j]
        hit[j] = wanted[j] & (sure[g, 0, j] ^ ((sure[g, 0, j] ^ sure[g, 1, j]) & s))
        undecided[j] = wanted[j] & unsure[g, j]
        left |= undecided[j]
    for k in range(32):
        if left == _ZERO:
            break
        left = _ZERO
        # No branch in here, so that the compiler makes vectors of the words.
        for j in range(GROUP):
            random = mix(z + np.uint64(j) * GAMMA, key2)
            plane = planes[g, k, 0, j] ^ ((planes[g, k, 0, j] ^ planes[g, k, 1, j]) & state[j])
            u = undecided[j]
            hit[j] |= u & plane & ~random
            u &= ~(plane ^ random)
            undecided[j] = u
            left |= u
        z += _ROUND


@numba.njit(cache=True, nogil=True, inline="always")
def _as_bytes(x):
    """Turn a word into that which has the bytes of `numpy.packbits` in memory; the same undoes it."""
    if _LITTLE_ENDIAN:
        x = ((x & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)) | (
            (x >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
        )
        x = ((x & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)) | (
            (x >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
        )
        x = (x << np.uint64(32)) | (x >> np.uint64(32))
    return x


@numba.njit(cache=True, nogil=True, inline="always")
def _put(out, position, words, count, whole):
    """Put the first `count` of (16,) words (most significant bit first) into the stream `out` from bit `position`.

    `whole`: rows of cells are whole words; where they are not, the stream has to be zeros.
    """
    at, shift = position >> _SIX, position & _63
    if whole and count == GROUP:
        for j in range(GROUP):
            out[at + np.uint64(j)] = _as_bytes(words[j])
    elif whole:
        for j in range(count):
            out[at + np.uint64(j)] = _as_bytes(words[j])
    else:
        for j in range(count):
            out[at + np.uint64(j)] |= _as_bytes(words[j] >> shift)
            if shift != _ZERO:
                out[at + np.uint64(j + 1)] |= _as_bytes(words[j] << (_64 - shift))


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
    write_planes, write_sure, write_unsure, read_planes, read_sure, read_unsure,
):  # fmt: skip
    """Write pulse and reading, `pulses` times: packed bits into the stream `out` from bit `position`.

    `state` and `used` uint64 (groups, 16) hold one bit for each of `lanes` cells; `state` moves on. One group
    after another does all its pulses, so that its laws stay in the first cache however large the array is.
    """
    groups = len(state)
    words, whole = -(-lanes // 64), lanes & 63 == 0
    hit, undecided = np.empty(GROUP, np.uint64), np.empty(GROUP, np.uint64)
    next_pulse = np.uint64(groups) * _STRIDE
    for g in range(groups):
        s, u = state[g], used[g]
        z = key + np.uint64(first_pulse) * next_pulse + np.uint64(g) * _STRIDE
        row = np.uint64(position) + np.uint64(g) * np.uint64(64 * GROUP)
        for _ in range(pulses):
            _draw(write_planes, write_sure, write_unsure, g, s, u, hit, undecided, z + _WRITE, key2)
            for j in range(GROUP):
                s[j] ^= hit[j]
            _draw(read_planes, read_sure, read_unsure, g, s, u, hit, undecided, z + _OUTCOME, key2)
            _put(out, row, hit, min(GROUP, words - GROUP * g), whole)
            z += next_pulse
            row += np.uint64(lanes)


@numba.njit(cache=True, nogil=True)
def repeat(used, lanes, pulses, position, valid):
    """Validity of pulses in which only masked cells are invalid, into `valid` from bit `position`."""
    words, whole = -(-lanes // 64), lanes & 63 == 0
    for g in range(len(used)):
        row = np.uint64(position) + np.uint64(g) * np.uint64(64 * GROUP)
        for _ in range(pulses):
            _put(valid, row, used[g], min(GROUP, words - GROUP * g), whole)
            row += np.uint64(lanes)


@numba.njit(cache=True, nogil=True)
def reset_write(
    state, used, lanes, pulses, first_pulse, position, key, key2, out, valid,
    write_planes, write_sure, write_unsure, reset_planes, reset_sure, reset_unsure,
    read_planes, read_sure, read_unsure, outcome_planes, outcome_sure, outcome_unsure,
):  # fmt: skip
    """Read, reset what reads AP, check, write, read, `pulses` times; returns the number of failed resets.

    Bits go to the stream `out` and their validity to `valid`, from bit `position`; a failed reset's bit is 0.
    """
    groups = len(state)
    words, whole = -(-lanes // 64), lanes & 63 == 0
    hit, undecided = np.empty(GROUP, np.uint64), np.empty(GROUP, np.uint64)
    high, failed = np.empty(GROUP, np.uint64), np.empty(GROUP, np.uint64)
    next_pulse = np.uint64(groups) * _STRIDE
    failures = 0
    for g in range(groups):
        s, u = state[g], used[g]
        z = key + np.uint64(first_pulse) * next_pulse + np.uint64(g) * _STRIDE
        row = np.uint64(position) + np.uint64(g) * np.uint64(64 * GROUP)
        for _ in range(pulses):
            _draw(read_planes, read_sure, read_unsure, g, s, u, high, undecided, z + _FIRST, key2)
            _draw(reset_planes, reset_sure, reset_unsure, g, s, high, hit, undecided, z + _RESET, key2)
            for j in range(GROUP):
                s[j] ^= hit[j]
            _draw(read_planes, read_sure, read_unsure, g, s, u, failed, undecided, z + _CHECK, key2)
            _draw(write_planes, write_sure, write_unsure, g, s, u, hit, undecided, z + _WRITE, key2)
            for j in range(GROUP):
                s[j] ^= hit[j]
            _draw(outcome_planes, outcome_sure, outcome_unsure, g, s, u, hit, undecided, z + _OUTCOME, key2)
            for j in range(GROUP):
                failures += _count(failed[j])
                hit[j] &= ~failed[j]
                failed[j] = u[j] & ~failed[j]
            _put(out, row, hit, min(GROUP, words - GROUP * g), whole)
            _put(valid, row, failed, min(GROUP, words - GROUP * g), whole)
            z += next_pulse
            row += np.uint64(lanes)
    return failures


@numba.njit(cache=True, nogil=True)
def gaussian(key, key2, first, out):
    """Fill `out` (float64) with standard normals from number `first` of this key (Box and Muller 1958)."""
    scale = 2.0**-53
    counter = np.uint64(first) * np.uint64(2)
    for i in range(len(out)):
        u = (np.float64(mix(key + counter * GAMMA, key2) >> np.uint64(11)) + 0.5) * scale
        v = np.float64(mix(key + (counter + _ONE) * GAMMA, key2) >> np.uint64(11)) * scale
        out[i] = np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)
        counter += np.uint64(2)
