"""A training that is killed goes on to the same weights, and no recorded bit is read twice."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entropy import Store
from sampler import (
    DataSet,
    OperatingSystemSource,
    SamplerError,
    SoftwareSource,
    Source,
    StoreSource,
    TrainProgress,
    TrainSettings,
    load_checkpoint,
    train,
)
from sampler.training import steps_done
from sampler.training._bill import stretch_bits

pytestmark = pytest.mark.usefixtures("one_thread")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
SCRIPT = Path(__file__).with_name("killed_training.py")


def killed(*trainings: tuple[object, ...]) -> None:
    """Let trainings kill themselves, all at once: see `killed_training`."""
    command = [sys.executable, SCRIPT, *(str(word) for arguments in trainings for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [-signal.SIGKILL] * len(trainings), done.stderr


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("exists", [False, True])
def test_a_second_training_is_kept_out_of_the_folder(
    settings: TrainSettings, data: DataSet, exists: bool
) -> None:
    if exists:
        settings.out.mkdir()
    refused = []

    def meanwhile(state: TrainProgress) -> None:
        for resume in (False, True):
            with pytest.raises(SamplerError, match="another training is at work in") as error:
                train(settings, data=data, resume=resume)
            refused.append(error)

    train(replace(settings, steps=2), progress=meanwhile, data=data)
    assert len(refused) == 4
    assert not (settings.out / ".lock").exists()


@posix_only
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_trainings_go_on(
    settings: TrainSettings, data: DataSet, npz: Path, tmp_path: Path, recorded: Callable[[int], Store]
) -> None:
    store = recorded(8_000_000)
    seeded, leased = (replace(settings, out=tmp_path / name, seed=None) for name in ("seeded", "leased"))
    killed(
        (seeded.out, npz, "software", "step", 7),
        (leased.out, npz, store.path, "step", 6),
    )
    goes_on_to_the_same_weights(settings, seeded, data)
    reads_no_bit_twice(leased, data, store, built_on_burned=False)


@posix_only
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_training_killed_between_its_state_and_the_end_of_its_lease(
    settings: TrainSettings, data: DataSet, npz: Path, recorded: Callable[[int], Store]
) -> None:
    store = recorded(8_000_000)
    killed((settings.out, npz, store.path, "state", 3))
    reads_no_bit_twice(settings, data, store, built_on_burned=True)


def goes_on_to_the_same_weights(settings: TrainSettings, other: TrainSettings, data: DataSet) -> None:
    whole = load_checkpoint(train(settings, data=data))
    assert steps_done(other) == 4
    assert len(rows(other.out)) == 7
    with pytest.raises(SamplerError, match="unfinished"):
        train(other, data=data)
    again = load_checkpoint(train(other, data=data, resume=True))
    assert again.sha256 == whole.sha256
    assert again.card["entropy"] == whole.card["entropy"]
    assert again.card["epochs"] == whole.card["epochs"]
    kept = ("step", "epoch", "loss", "moving mean", "weights", "diffusion", "shuffle", "timesteps")
    assert [[row[k] for k in kept] for row in rows(other.out)] == [
        [row[k] for k in kept] for row in rows(settings.out)
    ]
    assert not (other.out / "state.safetensors").exists()
    # Once complete it stays as it is.
    before = (other.out / "card.json").read_bytes()
    train(other, data=data, resume=True)
    assert (other.out / "card.json").read_bytes() == before


def reads_no_bit_twice(settings: TrainSettings, data: DataSet, store: Store, built_on_burned: bool) -> None:
    """The kill hit the stretch of steps 5 to 8: all of its lease is burned, and the rest is consumed.

    Where the state was saved already, the bits that it builds on were burned with their lease, not consumed.
    """
    lease = 2 * sum(stretch_bits(settings, len(data), 4, 8).values())
    assert store.accounts().burned == lease
    card = load_checkpoint(train(settings, StoreSource(store), data=data, resume=True)).card
    (source,) = card["entropy"]["sources"]
    read = sum(own["recorded"] for own in card["entropy"]["names"].values())
    assert read == source["bits"] == sum(bits for _, _, bits in source["ranges"])
    steps = {int(row["step"]): int(row["recorded"]) for row in rows(settings.out)}
    after = store.accounts()
    assert after.balanced
    assert after.burned == lease
    assert after.consumed == read - (steps[8] - steps[4] if built_on_burned else 0)
    assert after.free == after.recorded - after.consumed - after.burned
    ends = [(buffer, first, first + bits) for buffer, first, bits in sorted(source["ranges"])]
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(ends))


def interrupted(settings: TrainSettings, data: DataSet, sources: object) -> None:
    def stop(state: object) -> None:
        if getattr(state, "step", 0) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, sources, stop, data=data)  # pyright: ignore[reportArgumentType]


def test_an_interrupted_training_goes_on_only_as_it_was_begun(settings: TrainSettings, data: DataSet) -> None:
    interrupted(settings, data, {"diffusion": OperatingSystemSource(), "shuffle": SoftwareSource(8)})
    same = {"diffusion": OperatingSystemSource(), "shuffle": SoftwareSource(8)}
    wrong = [
        (settings, {"shuffle": SoftwareSource(8)}, "diffusion came from operating system"),
        (settings, {**same, "shuffle": SoftwareSource(9)}, "seed 8"),
        (replace(settings, seed=4), same, "weights came from software, seed 3"),
        (replace(settings, batch=9), same, "batch 8"),
    ]
    for changed, sources, words in wrong:
        with pytest.raises(SamplerError, match=words) as raised:
            train(changed, sources, data=data, resume=True)
        assert "\n" not in str(raised.value)
    other = replace(data, sha256="0" * 64)
    with pytest.raises(SamplerError, match="other pictures"):
        train(settings, same, data=other, resume=True)
    card = load_checkpoint(train(settings, same, data=data, resume=True)).card
    own = card["entropy"]["names"]["diffusion"]
    assert own["bits"] == 10 * 8 * 64 * 32
    assert card["entropy"]["sources"][own["source"]] == {"source": "operating system", "bits": own["bits"]}


class Ones:
    """A source that would begin again."""

    name = "ones"

    def read(self, bits: int) -> np.ndarray:
        return np.full(bits // 8, 255, np.uint8)

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        return {"source": self.name, "bits": 0}


def test_a_training_does_not_go_on_with_a_source_that_begins_again(
    settings: TrainSettings, data: DataSet
) -> None:
    interrupted(settings, data, {"diffusion": Ones()})
    with pytest.raises(SamplerError, match="cannot go on with ones"):
        train(settings, {"diffusion": Ones()}, data=data, resume=True)


def test_a_damaged_state_is_one_sentence(settings: TrainSettings, data: DataSet) -> None:
    interrupted(settings, data, None)
    state = settings.out / "state.safetensors"
    whole = state.read_bytes()
    for harm in (whole[:100], whole[:-50], b"\x80pickle"):
        state.write_bytes(harm)
        with pytest.raises(SamplerError, match="cannot be read as the state") as raised:
            train(settings, data=data, resume=True)
        assert "\n" not in str(raised.value)
