"""The simulated laboratory: from a TOML file to boxes on wires, in this process or one of its own."""

import contextlib
import json as json_format
import logging
import os
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from mock_hw._arguments import Count, takes
from mock_hw._array import Run, Selection, Sequence, SimulatedArray, stream_words
from mock_hw._clock import PACES
from mock_hw._errors import LabError
from mock_hw._lab_devices import cells_of, device_name, devices_of
from mock_hw._lab_file import BoxSettings, LabSettings, PaceName, read_lab_file
from mock_hw._lab_instruments import Bench
from mock_hw._lab_wires import LabWires
from mock_hw._state_file import BoxState, LabState, StateFile, StateKeeper
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._magnet import Magnet
from mock_hw.boxes.array_board import ArrayBoard, Limits
from mock_hw.faults import FaultyBoard
from mock_hw.physics import MacrospinDevice

log = logging.getLogger(__name__)

DEFAULT = Path(__file__).with_name("default.toml")


class Lab:
    """Serves simulated boxes from threads of this process while the context is entered.

    `seed` (or the file's, or the state's, or else one from the operating system) decides cells, initial
    states, draws, and what faults hit. `pace` goes before the file's, and `device` (a shipped one's name or a
    file) before that of every box. `state` names a file from which the magnetisation is taken, where it exists,
    and to which it is written; it is locked from here on until the context is left. `progress` is
    told of what takes long.
    """

    @takes(seed=Count())
    def __init__(
        self,
        settings: LabSettings,
        *,
        seed: int | None = None,
        pace: PaceName | None = None,
        device: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        progress: Callable[[str], None] = lambda said: None,
    ) -> None:
        self.settings = settings
        self._progress = progress
        self.pace: PaceName = pace or settings.lab.pace
        self.devices = devices_of(settings, device)
        self._device_names = {name: device_name(parameters) for name, parameters in self.devices.items()}
        self.arrays: dict[str, SimulatedArray] = {}
        self.boxes: dict[str, ArrayBoard] = {}
        self.faults: dict[str, FaultyBoard] = {}
        self.junctions: dict[str, Junction] = {}
        self.magnets: dict[str, Magnet] = {}
        self.instruments: dict[str, Instrument] = {}
        self._wires = LabWires(settings)
        self._fault_seeds: dict[str, int] = {}
        self._field_at_first: dict[str, bool] = {}  # of boxes that go on from a state
        self._keeper: StateKeeper | None = None
        self._state_file = None if state is None else StateFile(state)
        try:
            self._make_arrays(settings.lab.seed if seed is None else seed)
        except BaseException:
            self._release_state()
            raise

    def _make_arrays(self, seed: int | None) -> None:
        saved = None if self._state_file is None else self._state_file.read()
        if saved is not None:
            self._check(saved, seed)
        self.seed = saved.seed if saved is not None else secrets.randbits(63) if seed is None else seed
        for number, (name, box) in enumerate(self.settings.boxes.items()):
            if isinstance(box, BoxSettings):
                self._make_array(name, box.rows, box.columns, [self.seed, number])
        for number, name in enumerate(self.settings.junctions):
            self._make_array(name, 1, 1, [self.seed, number, 1])
        if saved is not None:
            self._restore(saved.boxes)

    def _make_array(self, name: str, rows: int, columns: int, entropy: list[int]) -> None:
        seeds = np.random.SeedSequence(entropy).generate_state(3, np.uint64)
        device = cells_of(self.devices[name], rows * columns, int(seeds[0]), self._progress)
        self.arrays[name] = SimulatedArray(device, rows, columns, int(seeds[1]))
        self._fault_seeds[name] = int(seeds[2])

    def _check(self, saved: LabState, seed: int | None) -> None:
        """Refuse a state of another seed, of other boxes or devices, before devices are made for it."""
        states = saved.boxes
        if seed not in (None, saved.seed):
            raise LabError(
                f"the state in {self._state_path} was made with seed {saved.seed}, not {seed}: leave the seed "
                "out, or name another state file"
            )
        if list(states) != list(self.devices):
            raise LabError(
                f"the state in {self._state_path} is of the boxes {', '.join(states)}, and this lab has "
                f"{', '.join(self.devices)}: serve the lab it was made with, or name another state file"
            )
        for name, state in states.items():
            if state.device != self._device_names[name]:
                raise self._misfit(name, f"it is of another device, {state.device}")

    def _misfit(self, name: str, why: str) -> LabError:
        return LabError(
            f"the state in {self._state_path} does not fit the box {name!r} ({why}): serve the lab it was made "
            "with, or name another state file"
        )

    def _restore(self, states: Mapping[str, BoxState]) -> None:
        """Take over the magnetisation, and what the time since has made of it."""
        now = time.time()
        alive = 0.0 if self._state_file is None else self._state_file.alive
        for name, state in states.items():
            array = self.arrays[name]
            try:
                array.load(state.arrays)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
                raise self._misfit(name, why) from error
            kelvin = self._kelvin(name)
            # The last sign of life of a lab that was killed says until when there was power, field and hold.
            died = min(max(state.taken, alive), now)
            powered = max(0.0, state.idle) + max(0.0, died - state.taken)
            array.rest(powered, powered=state.field_on, temperature=kelvin, hold=state.hold)
            array.rest(max(0.0, now - max(died, state.taken)), powered=False, temperature=kelvin)
            self._field_at_first[name] = state.field_on and not state.field_switched

    def _kelvin(self, name: str) -> float:
        return (self.settings.boards | self.settings.junctions)[name].temperature

    @property
    def _state_path(self) -> str:
        return "" if self._state_file is None else str(self._state_file.path)

    @classmethod
    def from_toml(
        cls,
        path: str | os.PathLike[str],
        *,
        seed: int | None = None,
        pace: PaceName | None = None,
        device: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        progress: Callable[[str], None] = lambda said: None,
    ) -> Self:
        """A lab from a TOML file; raises `LabError` naming the file and the key that is wrong."""
        return cls(read_lab_file(path), seed=seed, pace=pace, device=device, state=state, progress=progress)

    @classmethod
    def default(
        cls,
        *,
        seed: int | None = None,
        pace: PaceName | None = None,
        device: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> Self:
        """One array board with 64 × 64 cells on a free loopback port."""
        return cls.from_toml(DEFAULT, seed=seed, pace=pace, device=device, state=state)

    @property
    def resources(self) -> dict[str, str]:
        """VISA resource string of every box by its name, and of the `prologix` adapter; empty while not served."""
        return dict(self._wires.resources)

    def power_cycle(self, name: str | None = None) -> None:
        """Take the power from one box, or all, and give it back: connections drop, magnetisation stays."""
        boxes = {**self.faults, **self.instruments}
        if name is not None and name not in boxes:
            raise LabError(f"the lab has no box {name!r}; it serves {', '.join(boxes) or 'nothing'}")
        for box in boxes.values() if name is None else [boxes[name]]:
            box.power_cycle()

    def __enter__(self) -> Self:
        _compile()
        try:
            bench = Bench(self.settings, self.arrays, self.pace, self._array_left_alone)
            self.junctions, self.magnets = bench.junctions, bench.magnets
            for name, box in self.settings.boxes.items():
                if isinstance(box, BoxSettings):
                    self._board(name, box)
                else:
                    self.instruments[name] = bench.instrument(name, box)
            self._wires.serve(self.faults | self.instruments)
            if self._state_file is not None:
                self._keeper = StateKeeper(self._state_file, self.seed, self._look)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _look(self) -> dict[str, BoxState | None]:
        """The state of every box, None for one whose pulses are running."""
        return {name: self._look_at(name) for name in self.arrays}

    def _look_at(self, name: str) -> BoxState | None:
        rested = (self.junctions if name in self.junctions else self.boxes)[name].rested()
        if rested is None:
            return None
        arrays, idle, surroundings = rested
        return BoxState(arrays, self._device_names[name], time.time(), idle, *surroundings)

    def _array_left_alone(self, name: str) -> None:
        if self._keeper is not None and (state := self._look_at(name)) is not None:
            self._keeper.touch(name, state)

    def _board(self, name: str, box: BoxSettings) -> None:
        volts, seconds = self.devices[name].limits()
        limits = Limits(
            box.limits.voltage or volts, box.limits.width or seconds, box.limits.read, box.limits.hold
        )
        board = self.boxes[name] = ArrayBoard(
            self.arrays[name],
            serial_number=box.serial_number,
            limits=limits,
            temperature=box.temperature,
            dac_bits=box.dac_bits,
            field_on=self._field_at_first.get(name, box.field),
            clock=PACES[self.pace],
            on_rest=lambda: self._array_left_alone(name),
        )
        faulty = self.faults[name] = FaultyBoard(board, seed=self._fault_seeds[name])
        faulty.inflict(box.faults)

    def _close(self) -> None:
        self._wires.close()
        for box in (*self.boxes.values(), *self.instruments.values()):
            box.close()
        keeper, self._keeper = self._keeper, None
        try:
            if keeper is not None:
                keeper.close()
        finally:
            self.boxes.clear()
            self.faults.clear()
            self.instruments.clear()
            self.junctions.clear()
            self.magnets.clear()
            self._release_state()

    def _release_state(self) -> None:
        if self._state_file is not None:
            self._state_file.close()


@takes(seed=Count())
def serve(
    path: str | os.PathLike[str] | None = None,
    *,
    json: bool = False,
    seed: int | None = None,
    pace: PaceName | None = None,
    device: str | os.PathLike[str] | None = None,
    state: str | os.PathLike[str] | None = None,
    exit_with_stdin: bool = False,
    publish: str | os.PathLike[str] | None = None,
) -> None:
    """Serve a lab until SIGINT or SIGTERM; call it in the main thread of a process of its own.

    Prints the resources and the seed when everything answers, with `json` as one JSON line, which the file `publish`
    holds until the lab ends. With `exit_with_stdin` the end of standard input ends it too, so that it does not outlive
    a parent that was killed.
    """
    lab = Lab.from_toml(
        DEFAULT if path is None else path,
        seed=seed,
        pace=pace,
        device=device,
        state=state,
        progress=lambda said: print(said, file=sys.stderr, flush=True),
    )
    # No Event: a signal that comes while the main thread is inside its `wait` would have `set` wait for ever.
    stop: queue.SimpleQueue[None] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.put(None))
    if exit_with_stdin:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), name="stdin", daemon=True).start()
    with lab, _published(lab, publish):
        _announce(lab, json)
        while True:  # on Windows a wait without a time-out is deaf to Ctrl-C
            with contextlib.suppress(queue.Empty):
                return stop.get(timeout=0.5)


def describe(
    path: str | os.PathLike[str] | None = None, *, device: str | os.PathLike[str] | None = None
) -> dict[str, list[tuple[str, str]]]:
    """What the devices of a lab are, without serving it: (quantity, value with unit) by the names of its boxes."""
    settings = read_lab_file(DEFAULT if path is None else path)
    return {name: parameters.describe() for name, parameters in devices_of(settings, device).items()}


def _announce(lab: Lab, json: bool) -> None:
    if json:
        print(_as_json(lab), flush=True)
        return
    for name, resource in lab.resources.items():
        print(f"{name}: {resource}")
    print(f"simulated laboratory, seed {lab.seed}; Ctrl-C ends it", flush=True)


def _as_json(lab: Lab) -> str:
    return json_format.dumps({"resources": lab.resources, "pid": os.getpid(), "seed": lab.seed})


@contextlib.contextmanager
def _published(lab: Lab, publish: str | os.PathLike[str] | None) -> Iterator[None]:
    """Have a file say where the boxes are; one that cannot be written is no reason not to serve."""
    path = None if publish is None else Path(publish)
    try:
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(_as_json(lab) + "\n", "utf-8")
            except OSError as error:
                log.warning("other programs are not told of this lab: %s", error)
        yield
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _wait_for_end_of_input(stop: "queue.SimpleQueue[None]") -> None:
    with contextlib.suppress(OSError, ValueError):
        # Unbuffered: a buffered reader's lock would trouble the interpreter at exit.
        while os.read(sys.stdin.fileno(), 4096):
            pass
    stop.put(None)


@lru_cache
def _compile() -> None:
    """Compile the draws (or load them from numba's cache) before a first command has to wait for it."""
    array = SimulatedArray(MacrospinDevice.of("C", 3, 0), 1, 3, 0)
    for toggle in (False, True):
        mask = np.array([[True, True, False]])
        level, half = np.full((1, 3), 1e5), np.full((1, 3), 1.3)
        sequence = Sequence(
            Selection(0, 0, 0, 2),
            mask,
            toggle,
            half,
            0.3e-9,
            1.5,
            0.6e-9,
            level,
            read_voltage=0.1,
            settle=1e-6,
        )
        run = Run(array, sequence)
        run.bits(2, *(np.zeros(stream_words(6), np.uint64) for _ in range(2)))
    array.read(sequence)
