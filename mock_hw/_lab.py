"""The simulated laboratory: from a TOML file to boxes on wires, in this process or one of its own."""

import contextlib
import json as json_format
import logging
import os
import secrets
import signal
import sys
import threading
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mock_hw._array import Selection, Sequence, SimulatedArray, stream_words
from mock_hw._device import StandInDevice
from mock_hw._wires import SerialWire, TcpWire
from mock_hw.boxes.array_board import ArrayBoard, Limits

log = logging.getLogger(__name__)

DEFAULT = Path(__file__).with_name("default.toml")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LabError(Exception):
    """The simulated laboratory cannot be had; the message says why and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LimitSettings(_Strict):
    """Limits of a board at power-on: volts, seconds, volts."""

    voltage: Positive = 2.0
    width: Positive = 10e-9
    read: Positive = 0.5


class BoxSettings(_Strict):
    """One box; `temperature` in kelvin."""

    kind: Literal["array-board"]
    rows: int = Field(default=64, ge=1, le=1024)
    columns: int = Field(default=64, ge=1, le=1024)
    wire: Literal["tcp", "serial"] = "tcp"
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    serial_number: str = Field(default="0001", pattern=r"^[A-Za-z0-9._-]{1,32}$")
    temperature: float = Field(default=300.0, ge=200, le=358)
    limits: LimitSettings = LimitSettings()


class _LabSection(_Strict):
    seed: int | None = Field(default=None, ge=0)


class LabSettings(_Strict):
    """A lab's TOML file: `[lab]` with an optional `seed`, and one `[boxes.NAME]` for each box."""

    lab: _LabSection = _LabSection()
    boxes: dict[str, BoxSettings] = Field(min_length=1)


class Lab:
    """Serves simulated boxes from threads of this process while the context is entered.

    `seed` (or the file's, or else one from the operating system) decides cells, initial states and draws.
    """

    def __init__(self, settings: LabSettings, *, seed: int | None = None) -> None:
        self.settings = settings
        given = settings.lab.seed if seed is None else seed
        self.seed = secrets.randbits(63) if given is None else given
        self.arrays: dict[str, SimulatedArray] = {}
        self.boxes: dict[str, ArrayBoard] = {}
        self._wires: dict[str, TcpWire | SerialWire] = {}
        for number, (name, box) in enumerate(settings.boxes.items()):
            seeds = np.random.SeedSequence([self.seed, number]).generate_state(2, np.uint64)
            device = StandInDevice(box.rows * box.columns, int(seeds[0]))
            self.arrays[name] = SimulatedArray(device, box.rows, box.columns, int(seeds[1]))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], *, seed: int | None = None) -> Self:
        """A lab from a TOML file; raises `LabError` naming the file and the key that is wrong."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                content = tomllib.load(file)
        except OSError as error:
            raise LabError(f"cannot read the lab file {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LabError(f"the lab file {path} is not valid TOML: {error}") from error
        try:
            settings = LabSettings.model_validate(content)
        except ValidationError as error:
            raise LabError(f"the lab file {path} is wrong: {_explain(error)}") from error
        return cls(settings, seed=seed)

    @classmethod
    def default(cls, *, seed: int | None = None) -> Self:
        """One array board with 64 × 64 cells on a free loopback port."""
        return cls.from_toml(DEFAULT, seed=seed)

    @property
    def resources(self) -> dict[str, str]:
        """VISA resource string of every box by its name; empty while the lab is not served."""
        return {name: wire.resource for name, wire in self._wires.items()}

    def power_cycle(self, name: str | None = None) -> None:
        """Take the power from one box, or all, and give it back: connections drop, magnetisation stays."""
        if name is not None and name not in self.boxes:
            raise LabError(f"the lab has no box {name!r}; it serves {', '.join(self.boxes) or 'nothing'}")
        for box in self.boxes.values() if name is None else [self.boxes[name]]:
            box.power_cycle()

    def __enter__(self) -> Self:
        _compile()
        try:
            for name, box in self.settings.boxes.items():
                self._serve(name, box)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _serve(self, name: str, box: BoxSettings) -> None:
        limits = Limits(**box.limits.model_dump())
        board = self.boxes[name] = ArrayBoard(
            self.arrays[name], serial_number=box.serial_number, limits=limits, temperature=box.temperature
        )
        try:
            if box.wire == "tcp":
                self._wires[name] = TcpWire(board, host=box.host, port=box.port)
            else:
                self._wires[name] = SerialWire(board)
        except OSError as error:
            where = f"{box.host}:{box.port}" if box.wire == "tcp" else "a pseudo-terminal"
            raise LabError(f"box {name!r} cannot be served on {where}: {error.strerror or error}") from error

    def _close(self) -> None:
        for wire in self._wires.values():
            wire.close()
        for board in self.boxes.values():
            board.close()
        self._wires.clear()
        self.boxes.clear()


def serve(
    path: str | os.PathLike[str] | None = None,
    *,
    json: bool = False,
    seed: int | None = None,
    exit_with_stdin: bool = False,
) -> None:
    """Serve a lab until SIGINT or SIGTERM; call it in the main thread of a process of its own.

    Prints the resources and the seed when everything answers, with `json` as one JSON line. With
    `exit_with_stdin` the end of standard input ends it too, so that it does not outlive a parent that was
    killed.
    """
    lab = Lab.default(seed=seed) if path is None else Lab.from_toml(path, seed=seed)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if exit_with_stdin:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), name="stdin", daemon=True).start()
    with lab:
        _announce(lab, json)
        # On Windows a wait without a time-out is deaf to Ctrl-C.
        while not stop.wait(0.5):
            pass


def _announce(lab: Lab, json: bool) -> None:
    if json:
        ready = {"resources": lab.resources, "pid": os.getpid(), "seed": lab.seed}
        print(json_format.dumps(ready), flush=True)
        return
    for name, resource in lab.resources.items():
        print(f"{name}: {resource}")
    print(f"simulated laboratory, seed {lab.seed}; Ctrl-C ends it", flush=True)


def _wait_for_end_of_input(stop: threading.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        # Unbuffered: a buffered reader's lock would trouble the interpreter at exit.
        while os.read(sys.stdin.fileno(), 4096):
            pass
    stop.set()


def _explain(error: ValidationError) -> str:
    # A key that does not belong here is often the misspelt one of those that are missing.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg']}{more}"


def _compile() -> None:
    """Compile the draws (or load them from numba's cache) before a first command has to wait for it."""
    array = SimulatedArray(StandInDevice(3, 0), 1, 3, 0)
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
        run = array.begin(sequence)
        run.bits(2, *(np.zeros(stream_words(6), np.uint64) for _ in range(2)))
    array.read(sequence)
