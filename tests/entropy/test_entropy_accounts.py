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

from entropy import NotEnoughBits, PrunePolicy, Store, StoreError, export_bits, salvage

ROTATE = 24  # bytes: a buffer takes a few blocks


def story(made):
    class Story(RuleBasedStateMachine):
        """Records and rotates, leases, reads, leaves, reserves, crashes, withholds, prunes, exports and reopens.

        Two openings of the store stand for two processes; a crash frees the locks of what it ends, as the end of a
        process does.
        """

        leases = Bundle("leases")

        def __init__(self):
            super().__init__()
            self.folder = Path(tempfile.mkdtemp())
            self.store = Store(self.folder / "store")
            self.other = Store(self.folder / "store")
            self.states: dict[tuple[str, int], str] = {}
            self.bits: dict[tuple[str, int], int] = {}
            self.gone: set[str] = set()
            self.promised: list = []  # reservations that hold, in order, each [reservation, bits left]
            self.seed = 0
            self.begin()

        def teardown(self):
            self.other.close()
            self.store.close()
            shutil.rmtree(self.folder)

        def begin(self):
            self.record = made.recording(self.store, cells=4, rotate_bytes=ROTATE, expected_bits=0)

        def free(self):
            return [key for key, state in self.states.items() if state == "free"]

        def ahead_of(self, reservation=None):
            """Bits promised to those who come before this reservation (None: before anybody new)."""
            total = 0
            for held, left in self.promised:
                if held is reservation:
                    break
                total += left
            return total

        @rule(pulses=st.integers(0, 40), failed=st.integers(0, 3), health=st.sampled_from([0, 0, 0, 4]))
        def append(self, pulses, failed, health):
            self.seed += 1
            outcomes = np.random.default_rng(self.seed).integers(0, 2, 4 * pulses, dtype=np.uint8)
            usable = np.ones(len(outcomes), np.uint8)
            usable[:failed] = 0
            commit = made.append(self.record, outcomes, usable=usable, health=health)
            for at, bit in enumerate(outcomes[usable.astype(bool)]):
                self.bits[commit.buffer, commit.first_bit + at] = int(bit)
                self.states[commit.buffer, commit.first_bit + at] = "withheld" if health else "free"

        @rule()
        def next_recording(self):
            self.record.close()
            self.begin()

        @rule(target=leases, wanted=st.integers(1, 120), withheld=st.booleans(), by=st.sampled_from([0, 1]))
        def take(self, wanted, withheld, by):
            store = (self.store, self.other)[by]
            state = "withheld" if withheld else "free"
            there = sum(value == state for value in self.states.values())
            there = max(there - (0 if withheld else self.ahead_of()), 0)
            if wanted > there:
                with pytest.raises(NotEnoughBits) as caught:
                    store.lease(wanted, purpose="story", withheld=withheld)
                assert (caught.value.wanted, caught.value.available) == (wanted, there)
                return None
            return self.taken(store.lease(wanted, purpose="story", withheld=withheld), state, None)

        def taken(self, lease, state, reservation):
            keys = [(b, bit) for b, first, bits in lease.ranges for bit in range(first, first + bits)]
            assert len(keys) == lease.bits == len(set(keys))
            assert all(self.states[key] == state for key in keys)
            self.states.update(dict.fromkeys(keys, "leased"))
            return lease, keys, state, reservation

        @rule(bits=st.integers(1, 200))
        def reserve(self, bits):
            there = max(len(self.free()) - self.ahead_of(), 0)
            if bits > there:
                with pytest.raises(NotEnoughBits) as caught:
                    self.other.reserve(bits, purpose="story")
                assert (caught.value.wanted, caught.value.available) == (bits, there)
                return
            self.promised.append([self.other.reserve(bits, purpose="story"), bits])

        @rule(target=leases, which=st.integers(0, 9), part=st.floats(0, 1))
        def take_promised(self, which, part):
            if not self.promised:
                return None
            entry = self.promised[which % len(self.promised)]
            reservation, left = entry
            assert reservation.remaining == left
            wanted = max(1, int(part * left))
            if wanted > left or wanted > len(self.free()) - self.ahead_of(reservation):
                with pytest.raises(NotEnoughBits):
                    reservation.lease(wanted)
                return None
            entry[1] -= wanted
            return self.taken(reservation.lease(wanted), "free", reservation)

        @rule(which=st.integers(0, 9), crash=st.booleans())
        def end_promise(self, which, crash):
            if self.promised:
                reservation, _ = self.promised.pop(which % len(self.promised))
                if crash:
                    reservation._ticket.mark.forget()
                else:
                    reservation.close()

        @rule(
            taken=consumes(leases),
            part=st.floats(0, 1),
            end=st.sampled_from(["left", "burned", "error", "crash"]),
        )
        def leave(self, taken, part, end):
            if taken is None:
                return
            lease, keys, state, reservation = taken
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
                    if end == "crash":
                        lease._taken.mark.forget()
                        lease._over = "crashed"
                    if end == "error":
                        raise KeyError
            except KeyError:
                pass
            if end == "left":
                self.states.update(dict.fromkeys(keys[:wanted], "consumed"))
                self.states.update(dict.fromkeys(keys[wanted:], state))
                for entry in self.promised:
                    if entry[0] is reservation:
                        entry[1] += lease.bits - wanted
            else:
                self.states.update(dict.fromkeys(keys, "burned"))

        @rule(place=st.floats(0, 1), bits=st.integers(1, 60), back=st.booleans())
        def judge(self, place, bits, back):
            if not self.bits:
                return
            buffer, first = list(self.bits)[int(place * (len(self.bits) - 1))]
            keys = [(buffer, bit) for bit in range(first, first + bits)]
            was, then = ("withheld", "free") if back else ("free", "withheld")
            keys = [key for key in keys if self.states.get(key) == was]
            act = self.store.release if back else self.store.withhold
            assert act(buffer, first, bits, verdict="story") == len(keys)
            self.states.update(dict.fromkeys(keys, then))

        @rule(wanted=st.integers(1, 60))
        def export(self, wanted):
            if wanted > len(self.free()) - self.ahead_of():
                return
            self.seed += 1
            target = self.folder / f"out{self.seed}"
            said = export_bits(self.other, target, bits=wanted, form="bytes")
            keys = [(b, bit) for b, first, bits in said["ranges"] for bit in range(first, first + bits)]
            assert {self.states[key] for key in keys} == {"free"}
            assert [self.bits[key] for key in keys] == list(np.fromfile(target, np.uint8))
            self.states.update(dict.fromkeys(keys, "burned"))

        @rule(burn=st.sampled_from([False, False, True]), archive=st.booleans())
        def prune(self, burn, archive):
            self.other.prune(
                PrunePolicy(burn_unspent=burn),
                archive=self.folder / "shelf" if archive else None,
                dry_run=False,
            )
            present = {info.uuid for info in self.store.buffers() if info.place is None}
            for buffer in {key[0] for key in self.states} - present - self.gone:
                self.gone.add(buffer)
                for key, state in self.states.items():
                    if key[0] == buffer:
                        assert state in (("free", "withheld") if burn else ()) + ("consumed", "burned")
                        self.states[key] = "burned" if state in ("free", "withheld") else state
            unspent = {
                key[0] for key, state in self.states.items() if state in ("free", "withheld", "leased")
            }
            assert not unspent & self.gone
            assert len(list((self.folder / "store").glob("*.h5"))) == len(present)

        @rule(crash=st.booleans())
        def reopen(self, crash):
            if crash:
                self.record._mark.forget()
            self.store.close()
            self.other.close()
            self.promised.clear()
            self.states.update({key: "burned" for key, state in self.states.items() if state == "leased"})
            if crash:
                assert salvage(self.folder / "store").problems == []
            self.store, self.other = Store(self.folder / "store"), Store(self.folder / "store")
            self.begin()

        @invariant()
        def the_accounts_are_exact(self):
            accounts = self.store.accounts()
            count = Counter(self.states.values())
            assert accounts.recorded == len(self.states)
            for state in ("free", "leased", "consumed", "burned", "withheld"):
                assert getattr(accounts, state) == count[state], state
            assert accounts.balanced
            self.store._ledger.check()

    return Story


def tell(made, stories: int, steps: int) -> None:
    run_state_machine_as_test(
        story(made),
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_story_makes_the_accounts_wrong(made):
    tell(made, stories=25, steps=20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_long_story_makes_the_accounts_wrong(made):
    tell(made, stories=80, steps=50)
