"""The simulated array board as a device: its rules, its output and who owns it, its acquisition. Knows no SCPI."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mock_hw._arguments import Count, Real, takes
from mock_hw._array import Sequence, SimulatedArray
from mock_hw._clock import Clock, IdleTime
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.boxes.array_board._acquisition import Acquisition, NoAcquisition, Plan, fifo_capacity
from mock_hw.boxes.array_board._protection import Protection
from mock_hw.boxes.array_board._settings import TRIMS, Limits, Settings


class Connection(Protocol):
    """Who speaks to the board: what the board has to say to all of them."""

    hang_up: Callable[[], None] | None

    def report(self, trouble: RuleBroken) -> None:
        """Something has happened that nobody asked for."""
        ...

    def forget(self) -> None:
        """The board was without power."""
        ...


class ArrayBoard:
    """One board over one simulated array; any number of connections use it at once.

    A rule that does not hold raises `RuleBroken`. `model` and `serial_number` are what it says that it is; `limits`
    are those at power-on; `temperature` in kelvin; `dac_bits` are those of a pulse code; `field_on` says whether the
    array is in the lab's field before anybody has switched it; `clock` makes the clock that it has from power-on on.
    `on_rest` is called when the array has been used and is left alone again (by holders of the board's lock: it must
    not wait).
    """

    model = "ARRAY-BOARD-SIM"

    @takes(temperature=Real(above=0), dac_bits=Count(2, 16))
    def __init__(
        self,
        array: SimulatedArray,
        *,
        serial_number: str = "0",
        limits: Limits | None = None,
        temperature: float = 300.0,
        dac_bits: int = 8,
        field_on: bool = True,
        clock: Callable[[], Clock] = Clock,
        on_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.array = array
        self.serial_number = serial_number
        self._power_on_limits = limits or Limits()
        self._dac_bits = dac_bits
        self.field_on = field_on
        self.field_switched = False  # by a host: then it goes off with the output
        self._new_clock = clock
        self._on_rest = on_rest
        # One lock for everything that connections touch; nothing slow happens under it.
        self.changed = threading.Condition(threading.RLock())
        self.connections: list[Connection] = []
        self.acquisition: Acquisition | NoAcquisition = NoAcquisition()
        self.owner: Connection | None = None
        self.fifo_blocks: int | None = None  # hold so many at most; whoever changes it notifies `changed`
        self.clock = clock()
        self.idle = IdleTime(self.clock)
        self.protection = Protection(self, temperature)
        self._power_on()
        self.protection.start()

    def _power_on(self) -> None:
        self.limits = self._power_on_limits
        self.settings = self._reset_values()
        self.clock = self._new_clock()
        self.idle.go_on(self.clock)
        self.protection.trips = 0

    def _reset_values(self) -> Settings:
        return Settings.after_reset(self.array.rows, self.array.columns, self.limits, self._dac_bits)

    # --- the world outside the wire ---

    def power_cycle(self) -> None:
        """Lose everything but the array's magnetisation: connections, settings, limits, clock, FIFO."""
        with self.changed:
            self._stop()
            self._power_on()
            connections = list(self.connections)
            for connection in connections:
                connection.forget()
        for connection in connections:
            if connection.hang_up is not None:
                connection.hang_up()

    def close(self) -> None:
        """Switch off for good and end the board's threads."""
        with self.changed:
            self._stop()
        self.protection.close()

    def rested(self) -> tuple[dict[str, NDArray], float, tuple[float, bool, bool]] | None:
        """What of the array is to be kept, and for how many seconds it has rested; None while it is pulsed.

        And at which hold voltage, in the field or not, and whether a host has switched that.
        """
        with self.changed:
            surroundings = self.settings.hold, self.field_on, self.field_switched
            return None if self.acquisition.pulsing else (self.array.save(), self.idle.seconds, surroundings)

    # --- what connections do; they hold `changed` ---

    @property
    def output(self) -> bool:
        """Whether pulses and read voltage reach the array; true while a connection owns the board."""
        return self.owner is not None

    @property
    def running(self) -> bool:
        """Whether an acquisition is running or stalled."""
        return self.acquisition.state != "IDLE"

    def switch_on(self, connection: Connection) -> None:
        """Give the output, and the board with it, to this connection."""
        if self.owner is connection:
            return
        if self.owner is not None:
            raise RuleBroken(Rule.PROTECTED, "another connection owns the board")
        self.protection.check()
        self.owner = connection
        self.protection.feed(connection)
        self.protection.look()

    def switch_off(self) -> None:
        """End the acquisition, and take the output from its owner; hold, and a field that was switched, go off."""
        self.acquisition.abort()
        try:
            if self.settings.hold or (self.field_on and self.field_switched):
                self._let_time_pass()
        finally:
            self.settings = replace(self.settings, hold=0.0)
            self.field_on = self.field_on and not self.field_switched
            self.owner = None
            self._on_rest()

    @takes(volts=Real())
    def set_hold(self, volts: float) -> None:
        """Hold the cells at so many volts between pulses."""
        self._wait_for_rest()
        new = self.settings.changed(self.limits, hold=volts)
        self._need_output(bool(volts))
        self._let_time_pass()
        self.settings = new
        self._on_rest()

    def set_field(self, on: bool) -> None:
        """Switch the field that the lab applies."""
        self._wait_for_rest()
        self._need_output(on)
        self._let_time_pass()
        self.field_on, self.field_switched = on, True
        self._on_rest()

    def _need_output(self, needed: bool = True) -> None:
        if needed and not self.output:
            raise RuleBroken(Rule.CONFLICT, "the output is off")

    def _wait_for_rest(self) -> None:
        if not self.running:
            self.wait_until_still()

    def _let_time_pass(self) -> None:
        if not self.acquisition.pulsing:  # else its thread accounts for the time until it ends, which is now
            self._rest(whole=False)

    def _rest(self, *, whole: bool) -> None:
        """Have the array forget, under what there was until now, for the time that it was left alone."""
        kelvin, hold = self.protection.temperature, self.settings.hold
        self.array.rest(self.idle.take(whole=whole), powered=self.field_on, temperature=kelvin, hold=hold)

    def wait_until_still(self) -> None:
        """Wait the few milliseconds until an aborted acquisition has let go of the array."""
        while self.acquisition.pulsing:
            self.changed.wait()

    def _stop(self) -> None:
        """Output off, FIFO empty. Others may switch on while this waits (without the lock): off again."""
        self.switch_off()
        while self.acquisition.pulsing:
            self.changed.wait()
            self.switch_off()
        self.acquisition = NoAcquisition()

    def reset(self) -> None:
        """Output off, FIFO empty, settings as after power-on."""
        self._stop()
        self.settings = self._reset_values()

    def change(self, **values: Any) -> None:
        """Change settings, or raise and change nothing."""
        self.settings = self.settings.changed(self.limits, **values)
        self.protection.look()
        if self.running and values.keys() & set(TRIMS):
            sequence = self._sequence()
            self.acquisition.retrim(sequence.voltage, sequence.trims)

    @takes(value=Real())
    def limit(self, name: str, value: float) -> None:
        """Lower one of the limits."""
        if value < 0:
            raise RuleBroken(Rule.RANGE, "a limit is a magnitude")
        if value > getattr(self.limits, name):
            raise RuleBroken(Rule.PROTECTED, "a limit is raised only by a power cycle")
        if self.output:
            raise RuleBroken(Rule.CONFLICT, "the output is on")
        if (largest := self.settings.largest(name)) > value:
            raise RuleBroken(Rule.CONFLICT, f"the present setting is {largest:g}: lower it first")
        self.limits = replace(self.limits, **{name: value})

    def initiate(self, connection: Connection) -> None:
        """Start an acquisition."""
        self._wait_for_rest()
        # Only now: waiting lets go of the lock, and others may act meanwhile.
        if self.owner is not connection:
            raise RuleBroken(Rule.CONFLICT, "the output is off")
        if self.running:
            raise RuleBroken(Rule.RUNNING)
        now = self.settings
        if now.mode != "READ" and not self.field_on:
            raise RuleBroken(Rule.CONFLICT, "the field is off: pulses need it")
        self.acquisition = Acquisition(
            self.array,
            Plan(self._sequence(), now.count, now.block, now.resistances, to_the_moment=now.drawn),
            self.changed,
            clock=self.clock,
            idle=self.idle,
            capacity=lambda: self.fifo_capacity(now),
            ended=self._on_rest,
            failed=lambda why: self.report(RuleBroken(Rule.CONFLICT, why)),
        )

    def _sequence(self) -> Sequence:
        return self.settings.sequence(self.protection.temperature, self.field_on)

    def fifo_capacity(self, settings: Settings) -> int:
        """Blocks of these settings that the FIFO holds at the moment."""
        capacity = fifo_capacity(settings.positions, settings.resistances)
        return capacity if self.fifo_blocks is None else min(capacity, self.fifo_blocks)

    def read_resistances(self) -> NDArray[np.float32]:
        """One reading of every selected cell."""
        self.wait_until_still()
        self._need_output()
        try:
            self._rest(whole=True)
            readings = self.array.read(self._sequence())
        except ValueError as error:  # the model of the device does not go so far
            raise RuleBroken(Rule.CONFLICT, str(error)) from error
        self.idle.used()
        return readings

    def forget(self, connection: Connection) -> None:
        """A connection has closed; its output goes off with it."""
        if connection is self.owner:
            self.switch_off()
        if connection in self.connections:
            self.connections.remove(connection)

    def report(self, trouble: RuleBroken) -> None:
        """Tell all connections of something that nobody asked for."""
        with self.changed:
            for connection in self.connections:
                connection.report(trouble)
