"""One simulated junction on a bench: the volts that its sources put across it, and what pulses and time make of it."""

import threading
from collections.abc import Callable, Sequence
from itertools import count as counter

import numpy as np
from numpy.typing import NDArray

from mock_hw import _draws
from mock_hw._arguments import Count, Real, takes
from mock_hw._array import SimulatedArray
from mock_hw._clock import Clock, IdleTime
from mock_hw.boxes._magnet import Magnet
from mock_hw.boxes._rules import Rule, RuleBroken

_SETTLED = 1.0  # s, after which nothing charges any more
_MOST_SHARES = 1000
_LEAST_OHMS = 100.0  # below that of every junction: what compliance need not be asked for
_FEEBLE = 1e-9  # V, below which a reading is all noise
_ORDER = counter()  # in which the locks of junctions are taken


class Junction:
    """A junction behind a bias tee: pulses pass its capacitor, standing voltages its coil, and both add up.

    The array has one cell. `edge`: seconds from 10 to 90 % of the pulses that its switching table was made for. In
    the field of a `magnet`, whose clock it shares, that field counts for pulses and for the time between them, which
    then is no longer told in whole seconds alone. `largest_voltage`: the largest magnitude that was ever across it, for
    tests that watch the world; the idle level of a generator counts, though a capacitor stops it. Boxes hold `lock`
    while they act on it.
    """

    @takes(edge=Real(above=0), temperature=Real(above=0))
    def __init__(
        self,
        array: SimulatedArray,
        *,
        edge: float,
        temperature: float = 300.0,
        clock: Callable[[], Clock] = Clock,
        magnet: Magnet | None = None,
        on_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.array, self.edge, self.temperature = array, edge, temperature
        self.lock = threading.RLock()
        self.order = next(_ORDER)
        self.clock = clock() if magnet is None else magnet.clock
        self.largest_voltage = 0.0
        self.pulses = 0
        self._idle = IdleTime(self.clock)
        self._on_rest = on_rest
        self._magnet = magnet
        if magnet is not None:
            magnet.around.append(self)
        self._levels: dict[str, float] = {}  # volts across it by the idle levels of generators
        self._standing = 0.0
        self._shares: dict[tuple[float, float, bool], float] = {}  # until the device drifts
        self._ohms: dict[tuple[float, bool], float] = {}  # until the next pulse, or the device drifts

    @property
    def antiparallel(self) -> bool:
        """Its state."""
        return bool(self.array.antiparallel[0, 0])

    @property
    def standing(self) -> float:
        """Volts that stand across it."""
        return self._standing

    def resistance(self, volts: float, antiparallel: bool | None = None) -> float:
        """Ohms at a voltage, without noise, of its present state or of another."""
        state = self.antiparallel if antiparallel is None else antiparallel
        if (ohms := self._ohms.get((volts, state))) is None:
            both = self.array.device.resistances(volts, self.temperature, np.inf, _SETTLED)
            ohms = self._ohms[volts, state] = float(both[int(state)][0])
        return ohms

    def share(self, emf: float, series: float, antiparallel: bool | None = None) -> float:
        """Volts across it of an `emf` behind `series` ohms; its resistance falls with them."""
        state = self.antiparallel if antiparallel is None else antiparallel
        if (volts := self._shares.get((emf, series, state))) is None:
            volts = emf
            for _ in range(4 if series and emf else 0):
                ohms = self.resistance(volts, state)
                volts = emf * ohms / (ohms + series)
            self._shares[emf, series, state] = volts
        return volts

    # What boxes do

    @takes(emf=Real(), series=Real(0), most=Real(0, infinite=True))
    def hold(self, emf: float, series: float, most: float = np.inf) -> bool:
        """Have volts stand across it, through the coil, from a source that gives `most` amperes at most.

        Returns whether that limits them.
        """
        self.catch_up()
        volts = wanted = self.share(emf, series)
        if abs(volts) > most * _LEAST_OHMS:
            limited = volts
            for _ in range(4):
                largest = most * self.resistance(limited)
                limited = float(np.clip(volts, -largest, largest))
            volts = limited
        self._standing = volts
        self._look()
        return abs(volts) < abs(wanted)

    @takes(emf=Real(), impedance=Real(0))
    def idle_at(self, name: str, emf: float, impedance: float) -> None:
        """Have the output of a generator stand at a level, behind the capacitor."""
        self._levels[name] = self.share(emf, impedance)
        self._look()

    def let_go(self, name: str) -> None:
        """The relay of a generator's output has opened."""
        self._levels.pop(name, None)

    @takes(emf=Real(), impedance=Real(0), width=Real(above=0), edge=Real(above=0), count=Count(1))
    def pulse(
        self, name: str, emf: float, impedance: float, *, width: float, edge: float, count: int = 1
    ) -> None:
        """Give it `count` pulses to an `emf` from the idle level of their generator, `width` seconds at half height.

        Raises RuleBroken (edges) or DeviceError (volts, field) where the model of its device does not go so far; then
        it has had the voltage all the same.
        """
        self.catch_up()
        idle = self._levels.get(name, 0.0)
        across = [self.share(emf, impedance, state) for state in (False, True)]
        for volts in across if count > 1 else [across[int(self.antiparallel)]]:
            self._look(volts - idle)
        pulses = np.array(across) - idle + self._standing
        device = self.array.device
        device.wear(count, np.array([np.abs(pulses).max()]))
        self._ohms.clear()
        self.pulses += count
        if abs(edge / self.edge - 1) > 0.01:
            raise RuleBroken(
                Rule.SIMULATION, f"pulses with edges of {edge:g} s: the lab has a table for {self.edge:g} s"
            )
        field = 0.0 if self._magnet is None else self._magnet.field()
        flips = [
            float(device.switching_probability(np.array([volts]), width, self.temperature, field, state)[0])
            for volts, state in zip(pulses, (False, True), strict=True)
        ]
        self._switch(flips[0], flips[1], count)

    @takes(seconds=Real(above=0))
    def measure(self, seconds: float) -> tuple[float, float]:
        """Average over `seconds`: volts across it, and amperes through it with their noise."""
        self.catch_up()
        volts = self._standing
        ohms = self.resistance(volts)
        sigma = self.array.device.read_noise(np.array([ohms]), volts, seconds, self.temperature)[0]
        noise = np.empty(1)
        _draws.gaussian(*self.array.next_key(), 0, noise)
        self.clock.wait(seconds)
        return volts, float(volts / ohms + noise[0] * sigma * max(abs(volts), _FEEBLE) / ohms**2)

    def rested(self) -> tuple[dict[str, NDArray], float, tuple[float, bool, bool]]:
        """What of it is to be kept, for how many seconds it has been left alone, and at how many volts."""
        with self.lock:
            if self._magnet is not None:  # whose field no state knows
                self.catch_up()
            return self.array.save(), self._idle.seconds, (self._standing, True, False)

    def _switch(self, from_parallel: float, from_antiparallel: float, count: int) -> None:
        """Draw the state after `count` pulses: a Markov chain of two states in closed form."""
        both = from_parallel + from_antiparallel
        mean = from_parallel / both if both else 0.0
        now = float(self.antiparallel)
        chance = mean + (now - mean) * (1 - both) ** count if both else now
        after = np.random.default_rng(self.array.next_key()).random() < chance
        if after != self.antiparallel:
            self.array.flip()
        self._on_rest()

    def catch_up(self) -> None:
        """Let the time that has passed since act on it, in the field that there was."""
        seconds = self._idle.take(whole=self._magnet is None)
        if seconds or len(self._shares) > _MOST_SHARES:
            self._shares.clear()
            self._ohms.clear()
        now = self.clock.now()
        steps = [(seconds, 0.0)] if self._magnet is None else self._magnet.fields(now - seconds, now)
        for each, field in steps:
            self.array.rest(each, temperature=self.temperature, field=field, hold=self._standing)

    def _look(self, more: float = 0.0) -> None:
        """Note the volts that are across it now, with `more` of a pulse."""
        volts = self._standing + sum(self._levels.values()) + more
        self.largest_voltage = max(self.largest_voltage, abs(volts), abs(self._standing + more))


class LockOfAll:
    """The locks of several junctions as one, taken in the order in which the junctions were made, as a magnet does."""

    def __init__(self, junctions: Sequence[Junction]) -> None:
        self._locks = [each.lock for each in sorted(junctions, key=lambda each: each.order)]

    def __enter__(self) -> None:
        for lock in self._locks:
            lock.acquire()

    def __exit__(self, *error: object) -> None:
        for lock in reversed(self._locks):
            lock.release()
