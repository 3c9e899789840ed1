"""The ledger against a plain list with the state of every bit, over random stories."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from entropy import NotEnoughBits, Store, StoreError


def story(made):
    class Story(RuleBasedStateMachine):
        """Records, leases, reads, leaves, burns, withholds and reopens."""

        leases = Bundle("leases")

        def __init__(self):
            super().__init__()
            self.folder = Path(tempfile.mkdtemp())
            self.store = Store(self.folder / "store")
            self.record = made.recording(self.store, count=4)
            self.states: dict[tuple[str, int], str] = {}
            self.bits: dict[tuple[str, int], int] = {}
            self.seed = 0

        def teardown(self):
            self.store.close()
            shutil.rmtree(self.folder)

        @rule(pulses=st.integers(0, 40), failed=st.integers(0, 3), health=st.sampled_from([0, 0, 0, 4]))
        def append(self, pulses, failed, health):
            self.seed += 1
            outcomes = np.random.default_rng(self.seed).integers(0, 2, 4 * pulses, dtype=np.uint8)
            usable = np.ones(len(outcomes), np.uint8)
            usable[:failed] = 0
            commit = made.append(self.record, outcomes, usable=usable, count=4, health=health)
            for at, bit in enumerate(outcomes[usable.astype(bool)]):
                self.bits[commit.buffer, commit.first_bit + at] = int(bit)
                self.states[commit.buffer, commit.first_bit + at] = "withheld" if health else "free"

        @rule()
        def next_recording(self):
            self.record.close()
            self.record = made.recording(self.store, count=4)

        @rule(target=leases, wanted=st.integers(1, 120), withheld=st.booleans())
        def take(self, wanted, withheld):
            state = "withheld" if withheld else "free"
            there = sum(value == state for value in self.states.values())
            if wanted > there:
                with pytest.raises(NotEnoughBits) as caught:
                    self.store.lease(wanted, purpose="story", withheld=withheld)
                assert (caught.value.wanted, caught.value.available) == (wanted, there)
                return None
            lease = self.store.lease(wanted, purpose="story", withheld=withheld)
            keys = [(b, bit) for b, first, bits in lease.ranges for bit in range(first, first + bits)]
            assert len(keys) == wanted == len(set(keys))
            assert all(self.states[key] == state for key in keys)
            self.states.update(dict.fromkeys(keys, "leased"))
            return lease, keys, state

        @rule(taken=consumes(leases), part=st.floats(0, 1), end=st.sampled_from(["left", "burned", "error"]))
        def leave(self, taken, part, end):
            if taken is None:
                return
            lease, keys, state = taken
            if self.states[keys[0]] == "burned":  # the store was closed meanwhile
                with pytest.raises(StoreError):
                    lease.read(1)
                return
            wanted = int(part * lease.bits)
            try:
                with lease:
                    read = np.unpackbits(lease.read(wanted), count=wanted)
                    assert [self.bits[key] for key in keys[:wanted]] == list(read)
                    if end == "burned":
                        lease.burn()
                    if end == "error":
                        raise KeyError
            except KeyError:
                pass
            if end == "left":
                self.states.update(dict.fromkeys(keys[:wanted], "consumed"))
                self.states.update(dict.fromkeys(keys[wanted:], state))
            else:
                self.states.update(dict.fromkeys(keys, "burned"))

        @rule(place=st.floats(0, 1), bits=st.integers(1, 60))
        def withhold(self, place, bits):
            if not self.bits:
                return
            buffer, first = list(self.bits)[int(place * (len(self.bits) - 1))]
            keys = [(buffer, bit) for bit in range(first, first + bits)]
            free = [key for key in keys if self.states.get(key) == "free"]
            assert self.store.withhold(buffer, first, bits, verdict="story") == len(free)
            self.states.update(dict.fromkeys(free, "withheld"))

        @rule()
        def reopen(self):
            self.store.close()
            self.states.update({key: "burned" for key, state in self.states.items() if state == "leased"})
            self.store = Store(self.folder / "store")
            self.record = made.recording(self.store, count=4)

        @invariant()
        def the_accounts_are_exact(self):
            accounts = self.store.accounts()
            count = Counter(self.states.values())
            assert accounts.recorded == len(self.states)
            for state in ("free", "leased", "consumed", "burned", "withheld"):
                assert getattr(accounts, state) == count[state], state
            assert accounts.balanced

    return Story


def test_no_story_makes_the_accounts_wrong(made):
    run_state_machine_as_test(
        story(made),
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.slow
def test_no_long_story_makes_the_accounts_wrong(made):
    run_state_machine_as_test(
        story(made),
        settings=settings(
            max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
