"""The pictures of a run: kept part by part, and the same after an interruption."""

import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from entropy import NoConditioning, Store, Xor
from sampler import (
    Checkpoint,
    NamedLeases,
    SamplerError,
    SampleSettings,
    SourceSpec,
    bill,
    draw_parts,
    made_bits,
    parts_of,
)
from sampler.drawing._part_files import PartFiles

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
    "source",
    [
        SourceSpec("software", seed=7),
        SourceSpec("biased", p=0.4, seed=7),
        SourceSpec("repeated", stretch=6400, seed=7),
    ],
)
@pytest.mark.parametrize("conditioning", [NoConditioning(), Xor(2)])
def test_an_interrupted_run_of_software_ends_with_the_same_pictures(
    tiny: Checkpoint, tmp_path: Path, source: SourceSpec, conditioning: Xor
) -> None:
    parts = parts_of(tiny, SETTINGS, enumerate(LABELS), source, conditioning)
    whole = PartFiles(tmp_path / "a", parts).draw(made_bits)
    with pytest.raises(Interrupted):
        PartFiles(tmp_path / "b", parts).draw(made_bits, interrupt_after(4))
    again = PartFiles(tmp_path / "b", parts).draw(made_bits)
    np.testing.assert_array_equal(whole.images, again.images)
    assert whole.bits == again.bits
    assert whole.labels.tolist() == LABELS


def test_an_interrupted_run_of_leases_ends_with_the_same_pictures_and_no_bit_serves_two(
    tiny: Checkpoint, tmp_path: Path, recorded: Callable[[int], Store]
) -> None:
    each = bill(tiny, SETTINGS, 1, Xor(2)).recorded_each
    store = recorded(len(LABELS) * each)
    files = PartFiles(tmp_path / "a", parts_of(tiny, SETTINGS, enumerate(LABELS), conditioning=Xor(2)))
    supply = NamedLeases(store, "test run 0")
    with pytest.raises(Interrupted):
        files.draw(supply, interrupt_after(4))
    accounts = store.accounts()
    assert (accounts.consumed, accounts.burned) == (3 * each, 3 * each)
    run = files.draw(supply)
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
    files, others = (
        PartFiles(tmp_path, parts_of(tiny, SETTINGS, enumerate(labels))) for labels in (LABELS, LABELS[::-1])
    )
    files.draw(made_bits)
    with pytest.raises(SamplerError, match="other labels"):
        others.draw(made_bits)
    (tmp_path / "part-00001.npz").write_bytes(b"PK")
    with pytest.raises(SamplerError, match="damaged: remove it"):
        files.draw(made_bits)


def test_a_part_that_was_sent_elsewhere_has_the_same_pictures(tiny: Checkpoint) -> None:
    (part, *_) = parts_of(
        tiny, SETTINGS, enumerate(LABELS), SourceSpec("stuck", fraction=0.1, seed=7), Xor(2)
    )
    here, there = (draw_parts([one], made_bits).pictures for one in (part, pickle.loads(pickle.dumps(part))))
    assert [picture.provenance for picture in here] == [picture.provenance for picture in there]
