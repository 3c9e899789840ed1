"""Estimators that predict: multi-MCW, lag, multi-MMC, LZ78Y (SP 800-90B, 6.3.7 to 6.3.10)."""

import math

import numba
import numpy as np
from scipy.optimize import brentq

from ._bounds import bounded, min_entropy

_WINDOWS = np.array([63, 255, 1023, 4095])
_LAGS = 128
_ORDERS = 16
_LZ_ORDERS = 16
_LZ_ENTRIES = 65536


def multi_mcw(bits: np.ndarray) -> float:
    """Estimate by the most common value in four sliding windows (6.3.7)."""
    return _from_run(*_mcw(bits, _WINDOWS))


def lag(bits: np.ndarray) -> float:
    """Estimate by the values up to 128 bits ago (6.3.8)."""
    return _from_run(*_lag(bits))


def multi_mmc(bits: np.ndarray) -> float:
    """Estimate by Markov models with counts of the orders 1 to 16 (6.3.9)."""
    return _from_run(*_mmc(bits))


def lz78y(bits: np.ndarray) -> float:
    """Estimate by a dictionary of strings of up to 16 bits (6.3.10)."""
    return _from_run(*_lz(bits))


def _from_run(correct: int, count: int, longest: int) -> float:
    """Turn right predictions, of so many, and the longest run of them into min-entropy."""
    if correct == 0:
        p = 1 - 0.01 ** (1 / count)
    else:
        p = bounded(correct / count, count)
    return min_entropy(max(p, _local(longest + 1, count), 0.5))


def _local(run: int, count: int) -> float:
    """Find the probability of a right prediction for which runs shorter than `run` have 99 % (Feller 1950, XIII.7)."""

    def excess(p: float) -> float:
        q = 1 - p
        x = 1.0
        for _ in range(200):  # the root next to 1 of 1 - x + q p^r x^(r + 1)
            before, x = x, 1 + q * math.exp(run * math.log(p) + (run + 1) * math.log(x))
            if abs(x - before) < 1e-15:
                break
            if x > 2:
                return -1e3  # no root: runs are certain
        ratio = (1 - p * x) / ((run + 1 - run * x) * q)
        if ratio <= 0:
            return -1e3
        return math.log(ratio) - (count + 1) * math.log(x) - math.log(0.99)

    low, high = 1e-12, 1 - 1e-12
    if excess(low) < 0:
        return low
    if excess(high) > 0:
        return 1.0
    return brentq(excess, low, high, xtol=1e-14, rtol=1e-14)


@numba.njit(cache=True, nogil=True)
def _mcw(bits, windows):
    length, kinds = len(bits), len(windows)
    first = windows[0]
    ones = np.zeros(kinds, np.int64)
    scores = np.zeros(kinds, np.int64)
    for at in range(first):
        for kind in range(kinds):
            ones[kind] += bits[at]
    winner = correct = run = longest = 0
    for at in range(first, length):
        value = bits[at]
        last = bits[at - 1]
        right = False
        scored = np.zeros(kinds, np.bool_)
        for kind in range(kinds):
            size = windows[kind]
            if at < size:
                continue
            twice = 2 * ones[kind]
            guess = last if twice == size else (1 if twice > size else 0)
            scored[kind] = guess == value
        right = scored[winner]
        for kind in range(kinds):
            if scored[kind]:
                scores[kind] += 1
                if scores[kind] >= scores[winner]:
                    winner = kind
        if right:
            correct += 1
            run += 1
            longest = max(longest, run)
        else:
            run = 0
        for kind in range(kinds):
            ones[kind] += value
            if at >= windows[kind]:
                ones[kind] -= bits[at - windows[kind]]
    return correct, length - first, longest


@numba.njit(cache=True, nogil=True)
def _lag(bits):
    length = len(bits)
    scores = np.zeros(_LAGS, np.int32)
    winner = correct = run = longest = 0
    for at in range(1, length):
        value = bits[at]
        if winner < at and bits[at - 1 - winner] == value:
            correct += 1
            run += 1
            longest = max(longest, run)
        else:
            run = 0
        best = scores[winner]
        for back in range(min(_LAGS, at)):
            if bits[at - 1 - back] == value:
                scores[back] += 1
        # only one that was as good as the best can have overtaken it
        best = scores[winner]
        for back in range(min(_LAGS, at)):
            if bits[at - 1 - back] == value and scores[back] >= best:
                best = scores[back]
                winner = back
    return correct, length - 1, longest


@numba.njit(cache=True, nogil=True)
def _mmc(bits):
    length = len(bits)
    counts = np.zeros((_ORDERS, 1 << _ORDERS, 2), np.int32)
    scores = np.zeros(_ORDERS, np.int64)
    winner = correct = run = longest = 0
    before = np.int64(bits[0])  # the bits until two ago, the latest least significant
    for at in range(2, length):
        now = ((before << 1) | bits[at - 1]) & 0xFFFFFFFF
        value = bits[at]
        right_winner = False
        scored = 0
        for order in range(1, _ORDERS + 1):
            if at - 1 < order:
                break
            mask = (1 << order) - 1
            counts[order - 1, before & mask, bits[at - 1]] += 1
        for order in range(1, _ORDERS + 1):
            if at < order:
                break
            mask = (1 << order) - 1
            zeros = counts[order - 1, now & mask, 0]
            ones = counts[order - 1, now & mask, 1]
            if zeros == 0 and ones == 0:
                continue
            guess = 0 if zeros > ones else 1
            if guess == value:
                scored |= 1 << (order - 1)
        right_winner = (scored >> winner) & 1
        for order in range(_ORDERS):
            if (scored >> order) & 1:
                scores[order] += 1
                if scores[order] >= scores[winner]:
                    winner = order
        if right_winner:
            correct += 1
            run += 1
            longest = max(longest, run)
        else:
            run = 0
        before = now
    return correct, length - 2, longest


@numba.njit(cache=True, nogil=True)
def _lz(bits):
    length = len(bits)
    counts = np.zeros((_LZ_ORDERS, 1 << _LZ_ORDERS, 2), np.int32)
    known = np.zeros((_LZ_ORDERS, 1 << _LZ_ORDERS), np.bool_)
    entries = 0
    correct = run = longest = 0
    before = np.int64(0)
    for at in range(_LZ_ORDERS):
        before = (before << 1) | bits[at]
    for at in range(_LZ_ORDERS + 1, length):
        last = bits[at - 1]
        for order in range(_LZ_ORDERS, 0, -1):
            context = before & ((1 << order) - 1)
            if not known[order - 1, context] and entries < _LZ_ENTRIES:
                known[order - 1, context] = True
                entries += 1
            if known[order - 1, context]:
                counts[order - 1, context, last] += 1
        now = ((before << 1) | last) & 0xFFFFFFFF
        most = 0
        guess = -1
        for order in range(_LZ_ORDERS, 0, -1):
            context = now & ((1 << order) - 1)
            if known[order - 1, context]:
                zeros = counts[order - 1, context, 0]
                ones = counts[order - 1, context, 1]
                if zeros > ones:
                    value, count = 0, zeros
                else:
                    value, count = 1, ones
                if count > most:
                    guess, most = value, count
        if guess == bits[at]:
            correct += 1
            run += 1
            longest = max(longest, run)
        else:
            run = 0
        before = now
    return correct, length - _LZ_ORDERS - 1, longest
