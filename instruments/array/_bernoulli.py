"""Draws of Bernoulli numbers by an array: one pulse a cell, of the voltage that switches it with its probability."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drivers import BoardError
from entropy import DrawMode

from .._errors import BenchError
from ..bench import DacScale
from ._array import Array
from ._block import Block, Sums

_CLIPPED = 0.01  # of P: beyond, the curve of the cell ends
_TRIES = 10  # draws of the cells that fail, before they are given up


class VoltageLaw(Protocol):
    """V(P) of every cell: a `SwitchingLaw`, or one that follows the array."""

    def voltage(
        self, p: np.ndarray | float, antiparallel: np.ndarray | bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the volts at which each cell switches with `p`, and their standard errors; (cells,) each."""
        ...

    def probability(self, volts: np.ndarray | float, antiparallel: np.ndarray | bool) -> np.ndarray:
        """Give with what probability each cell switches at its volts, (cells,)."""
        ...


@dataclass(frozen=True)
class DrawCounts(Sums):
    """What draws took, counted in cells but for `readings`, which are of the array.

    `draws`: asked for; `pulses`: write pulses; `resets`: of cells that read AP before, as the board gives them;
    `skipped`: had no pulse, as their P was 0; `clipped`: had another P than asked for, as the curve of the cell ends;
    `redrawn`: drawn again after a failed reset or reading; `strayed`: changed without a pulse.
    """

    draws: int = 0
    pulses: int = 0
    resets: int = 0
    skipped: int = 0
    clipped: int = 0
    redrawn: int = 0
    strayed: int = 0
    readings: int = 0


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw of the array, as it happened; each is (cells,) but for `block`.

    `used`: who was not masked; `p`: with which probability the outcome was to be 1, where the curve of the cell ends
    before that of its end; `volts`: of the pulses, 0 where
    there was none; `before`: the state as read last, True = AP; `after`: the outcome; `drawn`: who had a pulse and a
    valid outcome.
    """

    mode: DrawMode
    block: Block
    used: np.ndarray
    p: np.ndarray
    volts: np.ndarray
    before: np.ndarray
    after: np.ndarray
    drawn: np.ndarray

    @property
    def antiparallel(self) -> np.ndarray:
        """Whether the pulses started from AP: what `before` says, or not after a reset."""
        return self.before & (self.mode == "flip")


class BernoulliArray:
    """An array as a source of Bernoulli numbers; what was drawn last is stored in its cells, and flips start from it.

    `cells`: positions of the cells, one for each number of a draw, none twice; the others are masked. A draw of fewer
    numbers is of the first ones, and leaves the rest at 0 or as they are. `observe` gets each draw of the array.
    `counts`: what they took so far. Draws need `switched_on`. Raises BenchError where the array has no pulse table.
    """

    def __init__(
        self,
        array: Array,
        law: VoltageLaw,
        cells: np.ndarray,
        observe: Callable[[Draw], None] = lambda _: None,
    ) -> None:
        array.require_draws()
        self.array, self.law, self.cells = array, law, cells
        self.counts = DrawCounts()
        self.observe = observe
        self._used = np.zeros(array.shape[0] * array.shape[1], bool)
        self._used[cells] = True
        self._among = self._used  # what the mask is
        self._scale: DacScale | None = None
        self._stored, self._known = np.zeros(len(self._used), bool), False

    @property
    def magnetisation(self) -> np.ndarray:
        """What the whole array holds as read last, True = AP; bool (rows, columns), a copy."""
        return self._stored.reshape(self.array.shape).copy()

    @contextlib.contextmanager
    def switched_on(
        self, lowest: float, highest: float, *, hold: float = 0.0, watchdog: float = 20.0, read: bool = True
    ) -> Iterator[None]:
        """Have output, hold and field on, codes from `lowest` to `highest` volts, and know what is stored.

        Without `read` that is left to the caller, who reads other cells first. Working point and thresholds are the
        array's own. Everything is off again at every way out, the field too.
        """
        array, self._among, self._known = self.array, self._used, False
        array.set_mask(self._used)
        try:
            array.switch_on(watchdog, hold)
            array.field(True)
            self._scale = array.set_dac_range(lowest, highest)
            if read:
                self.read()
            yield
        finally:
            array.switch_off()

    def draw(self, p: np.ndarray) -> np.ndarray:
        """Draw each number anew, 1 with its probability, from a reset; uint8 of the shape of `p`.

        A failed reset or reading is drawn again. Raises BenchError where that goes on.
        """
        self._count(draws=p.size)
        self._write(self._spread(p), self._used)
        return self._picked(p.shape)

    def flip(self, p: np.ndarray) -> np.ndarray:
        """Flip each stored number with its probability, by one pulse of those cells that have any; uint8, as `p`."""
        self._count(draws=p.size)
        try:
            self._once("flip", self._spread(p))
        except BoardError as error:
            if error.lost:
                raise
            self._known = False
            self.read()  # the cells have had their pulse: what they hold is the outcome
        return self._picked(p.shape)

    def read(self, cells: np.ndarray | None = None) -> np.ndarray:
        """Read what is stored, without a pulse, in other `cells` than ours where they are given; uint8 (numbers,)."""
        cells, among = self._among_others(cells)
        self._once("read", np.zeros(len(self._used)), among)
        return self._stored[cells].astype(np.uint8)

    def write(self, pattern: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
        """Write known numbers, each until it reads so; uint8, as `pattern`. Raises BenchError where one is not taken.

        Other `cells` than ours, one a number, are written where they are given; ours are left as they are.
        """
        cells, among = self._among_others(cells)
        wanted = self._spread(pattern, cells) > 0.5
        wrong = among
        for _ in range(_TRIES):
            self._write(wanted.astype(float), wrong)
            wrong = among & (self._stored != wanted)
            if not wrong.any():
                return self._stored[cells[: pattern.size]].astype(np.uint8).reshape(pattern.shape)
        raise BenchError(
            f"{wrong.sum()} cells do not take what is written to them: calibrate again, so that they are left out"
        )

    def _among_others(self, cells: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Give other cells, or ours, and their mask."""
        if cells is None:
            return self.cells, self._used
        among = np.zeros(len(self._used), bool)
        among[cells] = True
        return cells, among

    def _spread(self, values: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
        cells = self.cells if cells is None else cells
        if values.size > len(cells):
            raise ValueError(f"{values.size} numbers are more than the {len(cells)} that the array holds")
        spread = np.zeros(len(self._used))
        spread[cells[: values.size]] = values.ravel()
        return spread

    def _picked(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._stored[self.cells[: math.prod(shape)]].astype(np.uint8).reshape(shape)

    def _write(self, p: np.ndarray, among: np.ndarray) -> None:
        """Draw the cells `among` from a reset; the others are masked, since a reset needs no code."""
        for _ in range(_TRIES):
            try:
                valid = self._once("write", p, among)
            except BoardError as error:
                if error.lost:
                    raise
                valid = ~among
            among = among & ~valid
            if not among.any():
                return
            self._count(redrawn=int(among.sum()))
        raise BenchError(
            f"{among.sum()} cells fail to be reset {_TRIES} times in a row: check the reset pulse, or calibrate again"
        )

    def _once(self, mode: DrawMode, p: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        """Draw once: each of the cells `among` (all of ours) switches with `p`, or is only reset, or read.

        Gives whose outcome is valid.
        """
        among, before = self._used if among is None else among, self._stored
        if among is not self._among:
            self.array.set_mask(among)
            self._among = among
        pulsed, volts = among & (p > 0), np.zeros(len(p))
        if mode != "read":
            volts, p = self._set_volts(p, pulsed, before & (mode == "flip"))
        self._count(
            pulses=int(pulsed.sum()) if mode != "read" else 0,
            resets=int((among & before).sum()) if mode == "write" else 0,
            skipped=int((among & ~pulsed).sum()) if mode != "read" else 0,
            readings=1 + (mode == "write"),
        )
        block = self.array.draw_once(mode)
        valid = among if block.valid is None else among & _bits(block.valid, len(p))
        after = np.where(valid, _bits(block.bits, len(p)), before)
        if mode != "write" and self._known and among is self._used:
            self._count(strayed=int((after != before)[among & ~pulsed].sum()))
        self._stored, self._known = after, self._known or among is self._used
        one = np.where(before, 1 - p, p) if mode == "flip" else p
        self.observe(Draw(mode, block, among, one, volts, before, after, valid & pulsed))
        return valid

    def _set_volts(
        self, p: np.ndarray, pulsed: np.ndarray, antiparallel: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Set the codes of a draw; gives their volts, and P, that of the curve's end where it is beyond."""
        if self._scale is None:
            raise BenchError("the array draws once it is switched on")
        volts, _ = self.law.voltage(p, antiparallel)
        codes = np.where(pulsed, self._scale.codes(volts), 0)
        self.array.set_pulse_table(codes)
        given = self._scale.volts(codes)
        reached = self.law.probability(volts, antiparallel)
        clipped = pulsed & (np.abs(reached - p) > _CLIPPED)
        self._count(clipped=int(clipped.sum()))
        return given, np.where(clipped, reached, p)

    def _count(self, **counts: int) -> None:
        self.counts += DrawCounts(**counts)


def _bits(packed: np.ndarray, cells: int) -> np.ndarray:
    return np.unpackbits(packed, count=cells).astype(bool)
