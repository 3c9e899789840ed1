"""The simulated laboratory: from a TOML file to boxes on wires, in this process or one of its own."""

import contextlib
import hashlib
import json as json_format
import logging
import os
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from mock_hw._arguments import Count, takes
from mock_hw._array import Run, Selection, Sequence, SimulatedArray, stream_words
from mock_hw._errors import LabError
from mock_hw._lab_file import BoxSettings, LabSettings, PaceName, read_lab_file
from mock_hw._state_file import BoxState, LabState, StateFile, StateKeeper
from mock_hw._wires import SerialWire, TcpWire
from mock_hw.boxes.array_board import PACES, ArrayBoard, Limits
from mock_hw.faults import FaultyBoard
from mock_hw.faults._cells import FaultyDevice
from mock_hw.physics import DeviceError, DeviceParameters, MacrospinDevice, load_device, table_of

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
        self.devices = _devices(settings.boxes, device)
        self._device_names = {name: _device_name(parameters) for name, parameters in self.devices.items()}
        self.arrays: dict[str, SimulatedArray] = {}
        self.boxes: dict[str, ArrayBoard] = {}
        self.faults: dict[str, FaultyBoard] = {}
        self._wires: dict[str, TcpWire | SerialWire] = {}
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
            seeds = np.random.SeedSequence([self.seed, number]).generate_state(3, np.uint64)
            device = _device(self.devices[name], box.rows * box.columns, int(seeds[0]), self._progress)
            self.arrays[name] = SimulatedArray(device, box.rows, box.columns, int(seeds[1]))
            self._fault_seeds[name] = int(seeds[2])
        if saved is not None:
            self._restore(saved.boxes)

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
            kelvin = self.settings.boxes[name].temperature
            # The last sign of life of a lab that was killed says until when there was power, field and hold.
            died = min(max(state.taken, alive), now)
            powered = max(0.0, state.idle) + max(0.0, died - state.taken)
            array.rest(powered, powered=state.field_on, temperature=kelvin, hold=state.hold)
            array.rest(max(0.0, now - max(died, state.taken)), powered=False, temperature=kelvin)
            self._field_at_first[name] = state.field_on and not state.field_switched

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
        """VISA resource string of every box by its name; empty while the lab is not served."""
        return {name: wire.resource for name, wire in self._wires.items()}

    def power_cycle(self, name: str | None = None) -> None:
        """Take the power from one box, or all, and give it back: connections drop, magnetisation stays."""
        if name is not None and name not in self.boxes:
            raise LabError(f"the lab has no box {name!r}; it serves {', '.join(self.boxes) or 'nothing'}")
        for box in self.faults.values() if name is None else [self.faults[name]]:
            box.power_cycle()

    def __enter__(self) -> Self:
        _compile()
        try:
            for name, box in self.settings.boxes.items():
                self._serve(name, box)
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
        return {name: self._look_at(name) for name in self.boxes}

    def _look_at(self, name: str) -> BoxState | None:
        rested = self.boxes[name].rested()
        if rested is None:
            return None
        arrays, idle, surroundings = rested
        return BoxState(arrays, self._device_names[name], time.time(), idle, *surroundings)

    def _array_left_alone(self, name: str) -> None:
        if self._keeper is not None and (state := self._look_at(name)) is not None:
            self._keeper.touch(name, state)

    def _serve(self, name: str, box: BoxSettings) -> None:
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
        try:
            if box.wire == "tcp":
                self._wires[name] = TcpWire(faulty, host=box.host, port=box.port)
            else:
                self._wires[name] = SerialWire(faulty)
        except OSError as error:
            where = f"{box.host}:{box.port}" if box.wire == "tcp" else "a pseudo-terminal"
            raise LabError(f"box {name!r} cannot be served on {where}: {error.strerror or error}") from error

    def _close(self) -> None:
        for wire in self._wires.values():
            wire.close()
        for board in self.boxes.values():
            board.close()
        self._wires.clear()
        keeper, self._keeper = self._keeper, None
        try:
            if keeper is not None:
                keeper.close()
        finally:
            self.boxes.clear()
            self.faults.clear()
            self._release_state()

    def _release_state(self) -> None:
        if self._state_file is not None:
            self._state_file.close()


def _devices(
    boxes: Mapping[str, BoxSettings], device: str | os.PathLike[str] | None
) -> dict[str, DeviceParameters]:
    """The devices of all boxes; `device` stands in for every one of them."""
    if device is not None:
        boxes = {name: box.model_copy(update={"device": str(device)}) for name, box in boxes.items()}
    return {name: _parameters(name, box) for name, box in boxes.items()}


def _parameters(name: str, box: BoxSettings) -> DeviceParameters:
    """The device of one box; raises `LabError` where there is none, or the box's limits are beyond its model."""
    try:
        parameters = load_device(box.device)
    except DeviceError as error:
        raise LabError(f"box {name!r}: {error}") from error
    volts, seconds = parameters.limits()
    for key, given, most, unit in (
        ("voltage", box.limits.voltage, volts, "V"),
        ("width", box.limits.width, seconds, "s"),
    ):
        if given is not None and given > most:
            raise LabError(
                f"box {name!r}: limits.{key} = {given:g} {unit} is beyond the {most:g} {unit} that the model of "
                f"device {box.device!r} covers: lower it, or leave it out"
            )
    low, high = parameters.temperatures()
    if not low <= box.temperature <= high:
        raise LabError(
            f"box {name!r}: a temperature of {box.temperature:g} K is outside the {low:g} to {high:g} K that the "
            f"model of device {box.device!r} covers: stay within, or widen table.temperature in a device file"
        )
    return parameters


def _device(
    parameters: DeviceParameters, cells: int, seed: int, progress: Callable[[str], None]
) -> FaultyDevice:
    """The cells of one box; raises `LabError` where its model cannot be had.

    A device whose switching table is not there yet takes minutes, of which `progress` is told.
    """

    def made(done: int, of: int) -> None:
        progress(f"making the switching table of {parameters.name}, once: {done} of {of}")

    try:
        sound = MacrospinDevice(parameters, cells, seed, table=table_of(parameters, made))
    except DeviceError as error:
        raise LabError(f"{parameters.name}: {error}") from error
    return FaultyDevice(sound, largest_pulse=parameters.limits()[0])


def _device_name(parameters: DeviceParameters) -> str:
    """What the state file calls a device: its name, and a digest of all that its file says."""
    # Of what the file says, so that a state fits it still when a later version knows more about devices.
    digest = hashlib.sha256(parameters.model_dump_json(exclude_unset=True).encode()).hexdigest()
    return f"{parameters.name} ({digest[:16]})"


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
) -> None:
    """Serve a lab until SIGINT or SIGTERM; call it in the main thread of a process of its own.

    Prints the resources and the seed when everything answers, with `json` as one JSON line. With
    `exit_with_stdin` the end of standard input ends it too, so that it does not outlive a parent that was
    killed.
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
    with lab:
        _announce(lab, json)
        while True:  # on Windows a wait without a time-out is deaf to Ctrl-C
            with contextlib.suppress(queue.Empty):
                return stop.get(timeout=0.5)


def describe(
    path: str | os.PathLike[str] | None = None, *, device: str | os.PathLike[str] | None = None
) -> dict[str, list[tuple[str, str]]]:
    """What the devices of a lab are, without serving it: (quantity, value with unit) by the names of its boxes."""
    boxes = read_lab_file(DEFAULT if path is None else path).boxes
    return {name: parameters.describe() for name, parameters in _devices(boxes, device).items()}


def _announce(lab: Lab, json: bool) -> None:
    if json:
        ready = {"resources": lab.resources, "pid": os.getpid(), "seed": lab.seed}
        print(json_format.dumps(ready), flush=True)
        return
    for name, resource in lab.resources.items():
        print(f"{name}: {resource}")
    print(f"simulated laboratory, seed {lab.seed}; Ctrl-C ends it", flush=True)


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
