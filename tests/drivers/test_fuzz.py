"""The driver against a wire that delays, repeats, drops, reorders and garbles answers.

It may raise as often as it likes, but hand out no answer to another question, and no state that the board was not in
between question and answer. Garbling is such that it can be told: a bit that makes one valid answer of another is no
matter of the driver's (blocks have a CRC-32, and state of output, interlock and limits is asked twice).
"""

import contextlib
import functools
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drivers import ArrayBoard, BoardError, LostBlocks
from mock_hw import Lab
from mock_hw._scpi import ScpiError
from mock_hw.boxes.array_board import RuleBroken
from mock_hw.testing import address_of, board_lab

NAMES = [
    "interlock_closed", "temperature", "voltage", "settle", "pulses", "pulses_per_block", "size", "mode", "width",
    "watchdog_trips", "output_enabled", "voltage_limit", "watchdog", "read_voltage_limit", "origin", "complete",
    "protocol_version", "clock", "event_status_enable",
]  # fmt: skip
SERIAL = sys.platform != "win32"  # pseudo-terminals
FAULTS = ("delayed", "repeated", "dropped", "reordered", "garbled")
_BLOCK = re.compile(rb"((?:\d+;\d+;)?#([1-9]))(?s:.*)")


class BadWire:
    """Stands between host and board: what the host says passes, each answer may meet a fault, with `rate` for each."""

    def __init__(self, board: tuple[str, int], seed: int, rate: float, serial: bool) -> None:
        self.met: Counter[str] = Counter()
        self._board, self._rate = board, rate
        self._rng = np.random.default_rng(seed)
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._timers: deque[threading.Timer] = deque(maxlen=100)  # of answers on their way
        self._descriptors: list[int] = []
        if serial:
            self.resource = self._open_line()
        else:
            self._server = socket.create_server(("127.0.0.1", 0))
            self._ends.append(self._server)
            self.resource = f"TCPIP::127.0.0.1::{self._server.getsockname()[1]}::SOCKET"
            self._start(self._accept)

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in [*self._threads, *self._timers]:
            thread.join(5)
            assert not thread.is_alive()
        for end in self._ends:
            end.close()
        for descriptor in self._descriptors:
            os.close(descriptor)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                host = self._server.accept()[0]
                host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._ends.append(host)
                hear, end = (
                    functools.partial(host.recv, 1 << 16),
                    functools.partial(host.shutdown, socket.SHUT_RDWR),
                )
                self._connect(hear, host.sendall, end)

    def _open_line(self) -> str:
        import pty
        import tty

        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        pair = socket.socketpair()  # so that the thread that reads the line can be ended
        self._descriptors += [ours, theirs]
        self._ends += pair

        def hear() -> bytes:
            import select

            ready = select.select([ours, pair[0]], [], [])[0]
            return b"" if pair[0] in ready else os.read(ours, 1 << 16)

        self._connect(hear, functools.partial(os.write, ours), lambda: None)
        return f"ASRL{os.ttyname(theirs)}::INSTR"

    def _connect(
        self, hear: Callable[[], bytes], say: Callable[[bytes], Any], end: Callable[[], None]
    ) -> None:
        board = socket.create_connection(self._board)
        board.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends.append(board)
        self._start(self._pass_questions, hear, board)
        self._start(self._pass_answers, board, say, end)

    def _pass_questions(self, hear: Callable[[], bytes], board: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := hear():
                board.sendall(data)
        with contextlib.suppress(OSError):
            board.shutdown(socket.SHUT_RDWR)

    def _pass_answers(
        self, board: socket.socket, say: Callable[[bytes], Any], end: Callable[[], None]
    ) -> None:
        lock, held = threading.Lock(), []

        def send(message: bytes) -> None:
            with lock, contextlib.suppress(OSError):
                say(message)

        def later(seconds: float, message: bytes) -> None:
            timer = threading.Timer(seconds, send, [message])
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

        with board, board.makefile("rb") as answers, contextlib.suppress(OSError):
            for message in _messages(answers):
                release, held = held, []
                fault = self._fault()
                self.met[fault] += 1
                if fault == "delayed":
                    later(self._rng.uniform(0.005, 0.12), message)
                elif fault == "reordered":
                    held = [message]
                elif fault == "garbled":
                    send(self._garble(message))
                elif fault != "dropped":
                    send(message)
                if fault == "repeated":
                    later(self._rng.uniform(0, 0.06), message) if self._rng.random() < 0.5 else send(message)
                for each in release:
                    send(each)
        with contextlib.suppress(OSError):
            end()

    def _fault(self) -> str:
        index = int(self._rng.random() / self._rate)
        return FAULTS[index] if index < len(FAULTS) else "none"

    def _garble(self, message: bytes) -> bytes:
        rng = self._rng
        block = _BLOCK.match(message)
        # The bytes of a block that has a CRC-32 may be hit, else those of its header and the line feed alone.
        safe = len(message) if block is None or b"MTJB" in message else len(block[1]) + int(block[2])
        kind = rng.integers(4)
        if kind == 0:
            return message[: rng.integers(len(message))]  # cut off, line feed and all
        if kind == 1:
            return rng.bytes(rng.integers(1, 30)).replace(b"#", b"\n") + message
        if kind == 2:
            return message + rng.bytes(rng.integers(1, 30))
        hit = bytearray(message)
        hit[rng.integers(safe)] ^= 0x80
        return bytes(hit)


def _messages(answers: Any) -> Iterator[bytes]:
    while message := answers.readline():
        block = _BLOCK.match(message)
        if block is not None:
            start = len(block[1]) + int(block[2])
            if len(message) < start:
                message += answers.read(start - len(message))
            length = int(message[len(block[1]) : start])
            message += answers.read(start + length + 1 - len(message))
        yield message


class Fuzz:
    """Asks and sets at random over a bad wire, and compares with the board itself, which changes at random as well."""

    def __init__(self, lab: Lab, wire: BadWire, seed: int) -> None:
        self.board: Any = lab.boxes["board"]
        self._faults = lab.faults["board"]
        self.wire = wire
        self.wrong: list[str] = []
        self.right = self.raised = self.opened = 0
        self._rng = np.random.default_rng([seed, 1])
        self._errors: set[str] = set()
        self._reported: set[str] = set()
        self._began: float | None = None
        self._fetched = (
            False  # whether a block of this acquisition came: before, `FETCh:AGAin?` gives an older one
        )
        self.board.change(watchdog=60.0)

    def run(self, exchanges: int) -> None:
        driver = None
        actions = [*[self._ask] * 6, self._set, self._cells, self._error, self._acquire, self._switch]
        while self.right + self.raised < exchanges:
            if driver is not None and self._rng.random() < 0.005:
                driver.close()  # a program ends, and another begins
                driver = None
            try:
                if driver is None:
                    driver = ArrayBoard(
                        self.wire.resource, timeout=int(self._rng.integers(20, 51)), visa_library="@py"
                    )
                    self.opened += 1
                self._change_the_board()
                actions[self._rng.integers(len(actions))](driver)
                self.right += 1
            except BoardError as error:
                self.raised += 1
                if error.lost and driver is not None:
                    driver.close()
                    driver = None
        if driver is not None:
            driver.close()

    def _check(self, what: str, got: Any, *possible: Any) -> None:
        if not any(np.array_equal(got, each) for each in possible):
            self.wrong.append(f"{what} is {got!r}, and was {possible!r}")

    def _change_the_board(self) -> None:
        rng, board = self._rng, self.board
        kind = rng.integers(8)
        with contextlib.suppress(RuleBroken), board.changed:
            if kind == 0:
                board.protection.set_interlock(bool(rng.integers(2)))
            elif kind == 1:
                board.protection.set_temperature(float(rng.uniform(280, 340)))
            elif kind == 2 and not board.running:
                board.change(voltage=float(rng.uniform(-1, 1)), settle=float(rng.uniform(1e-9, 1e-6)))
            elif kind == 3 and not board.running:
                board.change(
                    count=int(rng.integers(1, 9)),
                    block=int(rng.integers(1, 5)),
                    mode=str(rng.choice(["RES", "TOGG"])),
                )
            elif kind == 4:
                board.protection.trips = int(rng.integers(1000))
            elif kind == 5 and rng.random() < 0.2:
                board.switch_off()
            elif kind == 6:
                limits = {"voltage": float(rng.uniform(1.5, 2)), "read": float(rng.uniform(0.5, 1))}
                board.limits = replace(board.limits, **limits)

    def _truth(self, name: str) -> Any:
        board = self.board
        with board.changed:
            now = board.settings
            return {
                "interlock_closed": board.protection.interlock_closed, "voltage": now.voltage, "settle": now.settle,
                "temperature": board.protection.temperature + board.array.device.temperature_offset,
                "pulses": now.count, "pulses_per_block": now.block, "size": (4, 5),
                "mode": {"TOGG": "toggle", "RES": "reset"}[now.mode],
                "watchdog_trips": board.protection.trips, "width": now.width, "output_enabled": board.output,
                "voltage_limit": board.limits.voltage, "watchdog": 60.0, "read_voltage_limit": board.limits.read,
                "origin": "simulation", "protocol_version": "1.2", "complete": True, "clock": board.clock.now(),
                "event_status_enable": 0,
            }[name]  # fmt: skip

    def _ask(self, driver: ArrayBoard) -> None:
        name = str(self._rng.choice(NAMES))
        before = self._truth(name)
        got = getattr(driver, name)
        after = self._truth(name)
        if name == "clock":
            self._check(name, before <= got <= after, True)
        else:
            self._check(name, got, before, after)

    def _set(self, driver: ArrayBoard) -> None:
        value = float(f"{self._rng.uniform(-1, 1):.6f}")
        driver.voltage = value
        self._check("the voltage that was set", self.board.settings.voltage, value)

    def _cells(self, driver: ArrayBoard) -> None:
        before = self.board.settings
        if self._rng.random() < 0.5:
            trims = self._rng.uniform(-0.1, 0.1, (4, 5)).astype(np.float32)
            driver.trims = trims
            self._check("trims that were set", self.board.settings.trim, trims)
        else:
            got = driver.trims if self._rng.random() < 0.5 else driver.thresholds
            self._check("trims or thresholds", got, before.trim, before.threshold, self.board.settings.trim)

    def _error(self, driver: ArrayBoard) -> None:
        mine = f"number {len(self._errors)}"
        self._errors.add(mine)
        self._faults.queue_error(ScpiError(-222, mine))
        while (error := driver.next_error)[0]:
            text = error[1].partition("; ")[2]
            if text in self._errors and text in self._reported:
                self.wrong.append(f"the error {text!r} came twice")
            self._reported.add(text)
            self._check(
                "an error", error[0] in (-222, -221, -213, -203, -230, -350, -113, 101, 102, 103), True
            )

    def _switch(self, driver: ArrayBoard) -> None:
        if self._rng.random() < 0.5:
            self._check("output after switching off", driver.switch_off(), not self.board.output)
        else:
            self.board.protection.set_interlock(True)
            driver.output_enabled = True
            self._check("output after switching on", self.board.output, True)

    def _acquire(self, driver: ArrayBoard) -> None:
        if self._began is None or self._rng.random() < 0.3:
            self._began, self._fetched = None, False
            began = self.board.clock.now()
            driver.start()
            self._began = began
        again = self._fetched and self._rng.random() < 0.3
        try:
            block = driver.fetch_again() if again else driver.fetch()
        except LostBlocks as lost:
            block = lost.block
        if block is not None and self._began is not None:
            self._fetched = True
            self._check(f"time {block.time} of block {block.sequence}", block.time >= self._began, True)


def fuzz(seed: int, exchanges: int, rate: float = 0.015, serial: bool = False) -> dict[str, Any]:
    """One board, one wire, one host; gives what happened."""
    with board_lab(rows=4, columns=5, seed=seed) as lab:
        wire = BadWire(address_of(lab.resources["board"]), seed, rate, serial)
        try:
            began, cpu = time.monotonic(), time.process_time()
            it = Fuzz(lab, wire, seed)
            it.run(exchanges)
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        finally:
            wire.close()
    return {"seed": seed, "wrong": it.wrong, "right": it.right, "raised": it.raised, "opened": it.opened,
            "met": dict(wire.met), "seconds": round(seconds, 1), "processor": round(cpu, 1)}  # fmt: skip


def test_no_answer_to_another_question():
    seed = time.time_ns() % 2**32
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda k: fuzz(seed + k, 700, serial=k == 2 and SERIAL), range(3)))
    print(*found, sep="\n")
    for each in found:
        assert not each["wrong"], each["seed"]
        assert each["right"] > each["raised"]
        assert all(each["met"].get(fault, 0) > 0 for fault in FAULTS)


@pytest.mark.slow
def test_the_fuzz_finds_them_where_there_are_no_marks(monkeypatch):
    monkeypatch.setattr("drivers.array_board._wire.SocketWire.marks", False)
    assert any(fuzz(seed, 100, rate=0.1)["wrong"] for seed in range(10))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_answer_to_another_question_in_a_hundred_thousand_exchanges():
    seeds = [int(time.time_ns() % 2**32) + k for k in range(4)]
    print("seeds", seeds)
    runs = [
        subprocess.Popen([sys.executable, __file__, str(seed), "25000", str(int(k == 3 and SERIAL))],
                         stdout=subprocess.PIPE, text=True) for k, seed in enumerate(seeds)]  # fmt: skip
    found = [json.loads(run.communicate(timeout=500)[0]) for run in runs]
    print(*found, sep="\n")
    assert not [wrong for each in found for wrong in each["wrong"]]
    met = sum((Counter(each["met"]) for each in found), Counter())
    assert all(met[fault] >= 1000 for fault in FAULTS), met
    assert sum(each["right"] + each["raised"] for each in found) >= 100_000
    assert sum(each["right"] for each in found) > 75_000
    assert max(each["seconds"] for each in found) < 300


if __name__ == "__main__":
    print(json.dumps(fuzz(int(sys.argv[1]), int(sys.argv[2]), serial=sys.argv[3] == "1")))
