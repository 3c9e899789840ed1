"""The pictures of a run: kept part by part, and the same after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from entropy import NoConditioning, Store, Xor
from sampler import (
    BiasedSource,
    Checkpoint,
    RepeatedSource,
    SamplerError,
    SampleSettings,
    SoftwareSource,
    bill,
)
from sampler.comparison import LeaseParts, SourceParts, draw_run

SETTINGS = SampleSettings("ddpm", 2, microbatch=3)
LABELS = [i % 10 for i in range(8)]


class Interrupted(Exception):
    """What stands for Ctrl-C."""


def interrupt_after(pictures: float) -> Callable[[float], None]:
    def progress(done: float) -> None:
        if done > pictures:
            raise Interrupted

    return progress


@pytest.mark.parametrize(
    "make", [lambda: SoftwareSource(7), lambda: BiasedSource(0.4, 7), lambda: RepeatedSource(6400, 7)]
)
@pytest.mark.parametrize("conditioning", [NoConditioning(), Xor(2)])
def test_an_interrupted_run_of_software_ends_with_the_same_pictures(
    tiny: Checkpoint, tmp_path: Path, make: Callable[[], SoftwareSource], conditioning: Xor
) -> None:
    parts = SourceParts(make, conditioning)
    whole = draw_run(tmp_path / "a", tiny, LABELS, SETTINGS, parts)
    with pytest.raises(Interrupted):
        draw_run(tmp_path / "b", tiny, LABELS, SETTINGS, parts, interrupt_after(4))
    again = draw_run(tmp_path / "b", tiny, LABELS, SETTINGS, parts)
    np.testing.assert_array_equal(whole.images, again.images)
    assert whole.bits == again.bits
    assert whole.labels.tolist() == LABELS


def test_an_interrupted_run_of_leases_ends_with_the_same_pictures_and_no_bit_serves_two(
    tiny: Checkpoint, tmp_path: Path, recorded: Callable[[int], Store]
) -> None:
    each = bill(tiny, SETTINGS, 1, Xor(2)).recorded_each
    store = recorded(len(LABELS) * each)
    parts = LeaseParts(store, Xor(2), "test run 0")
    with pytest.raises(Interrupted):
        draw_run(tmp_path / "a", tiny, LABELS, SETTINGS, parts, interrupt_after(4))
    accounts = store.accounts()
    assert (accounts.consumed, accounts.burned) == (3 * each, 3 * each)
    run = draw_run(tmp_path / "a", tiny, LABELS, SETTINGS, parts)
    accounts = store.accounts()
    assert (accounts.consumed, accounts.burned) == (5 * each, 3 * each), (
        "what was burned stays so, and is its pictures'"
    )
    ranges = sorted(tuple(item) for told in run.bits for item in told["ranges"])
    assert sum(bits for _, _, bits in ranges) == len(LABELS) * each
    assert all(a[1] + a[2] <= b[1] for a, b in pairwise(ranges) if a[0] == b[0])
    first = sorted(tuple(item) for told in run.bits[:6] for item in told["ranges"])
    assert first[0][1] == 0, "the second part has the bits that it had before it was interrupted"
    assert max(start + bits for _, start, bits in first) == 6 * each


def test_another_labels_part_and_a_damaged_one_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    parts = SourceParts(lambda: SoftwareSource(7), NoConditioning())
    draw_run(tmp_path, tiny, LABELS, SETTINGS, parts)
    with pytest.raises(SamplerError, match="other labels"):
        draw_run(tmp_path, tiny, LABELS[::-1], SETTINGS, parts)
    (tmp_path / "part-00001.npz").write_bytes(b"PK")
    with pytest.raises(SamplerError, match="damaged: remove it"):
        draw_run(tmp_path, tiny, LABELS, SETTINGS, parts)
