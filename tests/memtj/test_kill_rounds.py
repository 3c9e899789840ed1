"""Recorder and sampler killed at random moments: the accounts stay exact, and the next ones start without repair."""

import random
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import sound_accounts
from tests.memtj.conftest import posix_only

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    posix_only,
]

ROUNDS = 8  # tests/entropy/test_entropy_kills.py has hundreds, without a lab and a network


def test_kill_rounds(
    start: Callable,
    memtj: Callable,
    recorded: Callable,
    patience: Callable[[float], float],
    lab,
    bench: Path,
    tmp_path: Path,
) -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    moments = random.Random(seed)
    store = tmp_path / "store"
    Store(store).close()
    before = spent = 0
    for round_number in range(ROUNDS):
        recorder: subprocess.Popen[str] = start(
            "record", bench, "--store", store, "--bits", "6e7", "--ahead", "4e7"
        )
        sampler: subprocess.Popen[str] = start(
            "sample", "--store", store, "--out", tmp_path / f"pictures-{round_number}", "--images", 6, "--steps", 40,
            "--microbatch", 2, "--wait", 60,
        )  # fmt: skip
        victim = moments.choice([recorder, sampler])
        if round_number % 2:  # while bits are recorded; else at any moment of the start-up, or after it
            recorded(store, before + 1)
        time.sleep(moments.uniform(0.0, 3.0) if round_number % 2 else moments.uniform(0.5, 7.0))
        victim.kill()
        victim.wait(patience(10))
        if victim is recorder:
            lab.wait_for_output(False, 10)
            sampler.kill()
            sampler.wait(patience(10))
        else:
            recorder.send_signal(2)
            recorder.communicate(timeout=patience(30))
            assert not lab.output_is_on()
        accounts = sound_accounts(store)
        where = f"round {round_number}, seed {seed}"
        # Nothing that was recorded disappears, nothing that was spent comes back.
        assert accounts.recorded >= before, where
        assert accounts.consumed + accounts.burned >= spent, where
        before, spent = accounts.recorded, accounts.consumed + accounts.burned
    assert before > 0
    memtj("record", bench, "--store", store, "--bits", "2e7", status=0)
    memtj("sample", "--store", store, "--out", tmp_path / "last", "--images", 1, "--steps", 10, status=0)
