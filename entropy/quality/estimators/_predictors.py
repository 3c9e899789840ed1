"""Estimators that predict: multi-MCW, lag, multi-MMC, LZ78Y (SP 800-90B, 6.3.7 to 6.3.10)."""

import math

import numba
import numpy as np
from scipy.optimize import root_scalar

from ._bounds import bounded, min_entropy

_WINDOWS = np.array([63, 255, 1023, 4095])
_LAGS = 128
_ORDERS = 16
_MMC_ENTRIES = 100_000
_LZ_ORDERS = 16
_LZ_ENTRIES = 65_536


def multi_mcw(bits: np.ndarray) -> float:
    """Estimate by the most common value in four sliding windows (6.3.7)."""
    return _from_run(*_mcw(bits, _WINDOWS))


def lag(bits: np.ndarray) -> float:
    """Estimate by the values up to 128 bits ago (6.3.8)."""
    return _from_run(*_lag(bits, _LAGS))


def multi_mmc(bits: np.ndarray) -> float:
    """Estimate by Markov models with counts of the orders 1 to 16 (6.3.9)."""
    return _from_run(*_mmc(bits, _ORDERS, _MMC_ENTRIES))


def lz78y(bits: np.ndarray) -> float:
    """Estimate by a dictionary of strings of up to 16 bits (6.3.10)."""
    return _from_run(*_lz(bits, _LZ_ORDERS, _LZ_ENTRIES))


def _from_run(correct: int, count: int, longest: int) -> float:
    """Turn right predictions, of so many, and the longest run of them into min-entropy."""
    p = bounded(correct / count, count) if correct else 1 - 0.01 ** (1 / count)
    p = max(p, 0.5)
    if p < 1:
        p = _local(longest + 1, count, p)
    return min_entropy(p)


def _local(run: int, count: int, least: float) -> float:
    """Find the p from `least` up for which, with 99 %, no run of right predictions is as long as `run`.

    Feller (1950), XIII.7, as section 6.3 gives it.
    """

    def excess(p: float) -> float:
        q = 1 - p
        y = 0.0  # x - 1, where x is the root next to 1 of 1 - x + q p^r x^(r + 1)
        for _ in range(100):
            before, y = y, q * math.exp(run * math.log(p) + (run + 1) * math.log1p(y))
            if y - before <= 1e-16 * y:
                break
        if y >= min(q / p, 1 / run):
            return -math.inf  # at the other root, 1/p: such a run is certain
        return math.log((q - p * y) / ((1 - run * y) * q)) - (count + 1) * math.log1p(y) - math.log(0.99)

    if not excess(least) > 0:
        return least
    bracket = (least, 1 - 1e-15)
    found = root_scalar(
        lambda p: max(excess(p), -1e9), bracket=bracket, method="brentq", xtol=1e-15, rtol=1e-14
    )
    return float(found.root)


@numba.njit(cache=True, nogil=True)
def _mcw(bits, windows):
    length, kinds, first = len(bits), len(windows), windows[0]
    ones = np.zeros(kinds, np.int64)
    scores = np.zeros(kinds, np.int64)
    ones[:] = bits[:first].sum()
    winner = correct = run = longest = 0
    for at in range(first, length):
        value = bits[at]
        chosen = winner
        hit = False
        for kind in range(kinds):
            size = windows[kind]
            if at >= size and (2 * ones[kind] > size) == (value == 1):  # sizes are odd: there is no tie
                hit |= kind == chosen
                scores[kind] += 1
                if scores[kind] >= scores[winner]:
                    winner = kind
            ones[kind] += value
            if at >= size:
                ones[kind] -= bits[at - size]
        run = run + 1 if hit else 0
        correct += hit
        longest = max(longest, run)
    return correct, length - first, longest


@numba.njit(cache=True, nogil=True)
def _lag(bits, lags):
    length = len(bits)
    backwards = bits[::-1].copy()  # so that what was so long ago lies in a row
    scores = np.zeros(lags, np.int32)
    winner = correct = run = longest = 0
    for at in range(1, length):
        value = bits[at]
        past = backwards[length - at : length - at + min(lags, at)]
        right = past[winner] == value
        run = run + 1 if right else 0
        correct += right
        longest = max(longest, run)
        best = scores[winner]
        rivals = 0
        for back in range(len(past)):
            same = np.int32(past[back] == value)
            scores[back] += same
            rivals += same & np.int32(scores[back] >= best)
        if rivals == right:  # at most the winner itself
            continue
        for back in range(len(past)):
            if past[back] == value and scores[back] >= best:
                best = scores[back]
                winner = back
    return correct, length - 1, longest


@numba.njit(cache=True, nogil=True)
def _mmc(bits, orders, most):
    """Predict by the commonest follower of the last 1 to `orders` bits; at most `most` pairs are kept of an order."""
    length = len(bits)
    counts = np.zeros((orders, 1 << orders, 2), np.int32)
    entries = np.zeros(orders, np.int64)
    scores = np.zeros(orders, np.int64)
    winner = correct = run = longest = 0
    before = np.int64(bits[0])  # the bits until two ago, the latest least significant
    for at in range(2, length):
        last, value = bits[at - 1], bits[at]
        now = ((before << 1) | last) & 0xFFFFFFFF
        reach = min(orders, at - 1)
        for order in range(reach):
            seen = counts[order, before & ((2 << order) - 1)]
            if seen[last] > 0:
                seen[last] += 1
            elif entries[order] < most:
                seen[last] = 1
                entries[order] += 1
        chosen = winner
        for order in range(reach):
            zeros, ones = counts[order, now & ((2 << order) - 1)]
            if zeros == 0 and ones == 0:
                # A longer context is unknown too. The standard counts no prediction as a wrong one; NIST's program
                # lets the run go on, and so do we.
                break
            if (zeros <= ones) == (value == 1):
                scores[order] += 1
                if scores[order] >= scores[winner]:
                    winner = order
                if order == chosen:
                    correct += 1
                    run += 1
                    longest = max(longest, run)
            elif order == chosen:
                run = 0
        before = now
    return correct, length - 2, longest


@numba.njit(cache=True, nogil=True)
def _lz(bits, orders, most):
    """Predict by the commonest pair of the last 1 to `orders` bits and their follower; at most `most` contexts."""
    length = len(bits)
    counts = np.zeros((orders, 1 << orders, 2), np.int32)
    entries = 0
    correct = run = longest = 0
    before = np.int64(0)
    for at in range(orders):
        before = (before << 1) | bits[at]
    for at in range(orders + 1, length):
        last = bits[at - 1]
        for order in range(orders - 1, -1, -1):
            seen = counts[order, before & ((2 << order) - 1)]
            if seen[0] == 0 and seen[1] == 0:
                if entries >= most:
                    continue
                entries += 1
            seen[last] += 1
        before = ((before << 1) | last) & 0xFFFFFFFF
        best = 0
        guess = -1
        for order in range(orders - 1, -1, -1):
            zeros, ones = counts[order, before & ((2 << order) - 1)]
            if max(zeros, ones) > best:
                best = max(zeros, ones)
                guess = 0 if zeros > ones else 1
        run = run + 1 if guess == bits[at] else 0
        correct += guess == bits[at]
        longest = max(longest, run)
    return correct, length - orders - 1, longest
