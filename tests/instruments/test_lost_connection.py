"""A connection that drops while RecordBits records: it is had back with a limit, and everything is as before."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers import ArrayBoard, BoardError
from instruments import BenchError
from instruments.procedures import RecordBits
from mock_hw import Lab

from .conftest import Enough, table

RECORDING = {"ahead": 10**10}
SETTINGS = (
    "PULS:VOLT?;WIDT?;PER?;:RES:VOLT?;WIDT?;:SENS:VOLT?;SETT?;:SEQ:MODE?;:ACQ:FORM?;BLOC?;:SYST:WATC?;"
    ":LIM:VOLT?;WIDT?;READ?;:ARR:SEL?"
)


def settings_of(resource: str) -> list[Any]:
    """Everything that a recording sets, asked over a connection of its own."""
    board = ArrayBoard(resource)
    try:
        cells = [getattr(board, name).tolist() for name in ("mask", "trims", "thresholds")]
        return [board.ask(SETTINGS), *cells]
    finally:
        board.close()


def once(act: Callable[[], None]) -> Callable[[RecordBits], None]:
    """Call `act` when three blocks are in the store; enough is some blocks after a reconnection."""
    done: list[int] = []

    def look(procedure: RecordBits) -> None:
        progress = procedure.progress
        if progress.blocks >= 3 and not done:
            done.append(0)
            act()
        if reconnections(procedure) and progress.stage == "recording":
            done.append(progress.blocks)
            if done[-1] >= done[1] + 3:
                raise Enough

    return look


def reconnections(procedure: RecordBits) -> int:
    return 0 if procedure.account is None else procedure.account.reconnections


def test_it_goes_on_with_another_acquisition(record, tmp_path: Path, resource: str, wire, caplog, recorded):
    wire.send("SIM:FAUL:SHOR 3,4")
    seen: list[list[Any]] = []
    left: dict[int, int] = {}
    before = [0]  # blocks, when each connection was lost; a few of them were still on their way to the store

    def look(procedure: RecordBits) -> None:
        progress = procedure.progress
        made = reconnections(procedure)
        if progress.stage == "reconnecting":
            left.setdefault(
                made, int(wire.ask("ACQ:FIFO?").split(",")[0])
            )  # before the first try, 0.5 s later
            before[made + 1 :] = [progress.blocks]
        elif progress.blocks >= before[made] + 8:
            if made == 2:
                raise Enough
            if len(seen) == made:
                seen.append(settings_of(resource))
                wire.send("SIM:FAUL:DROP 5")

    with caplog.at_level(logging.WARNING):
        summary = record(look, calibrate=True, servo="off").summary
    assert seen[0] == seen[1]
    assert not seen[0][1][3][4]  # the mask
    assert np.ptp(seen[0][2]) > 0.01  # the trims
    assert wire.ask("SYST:WATC:TRIP?") == "0"
    rows = recorded()
    assert summary.bits == rows["bits"].sum()
    assert (summary.reconnections, summary.acquisitions) == (2, 3)
    begins = np.flatnonzero(rows["sequence"] == 0)
    assert len(begins) == 3
    told = table(tmp_path)
    lost = [int(told[row]["Lost blocks"]) for row in begins[1:]]
    assert lost == [left[0] + 1, left[1] + 1]  # what lay in the FIFO, and the one that the cut halved
    assert sum(lost) == summary.lost_blocks == sum(int(row["Lost blocks"]) for row in told)
    assert [int(row["Sequence"]) for row in told] == rows["sequence"].tolist()
    assert [int(row["Acquisition"]) for row in told] == (np.cumsum(rows["sequence"] == 0) - 1).tolist()
    assert summary.stalls == rows["stalled"].sum() == int(told[-1]["Stalls"])
    assert caplog.text.count("the recording goes on") == 1
    assert caplog.text.count("connected again") == 2


def test_limits_hold_after_the_power_was_cycled(record, lab: Lab, wire, resource: str, recorded):
    """The board has forgotten its limits; they are there again before the output is on."""
    before = [wire.ask("LIM:VOLT?;WIDT?;READ?")]
    held: list[str] = []
    switch_on = type(lab.boxes["board"]).switch_on

    def watched(board: Any, session: Any) -> None:
        held.append(";".join(repr(v) for v in (board.limits.voltage, board.limits.width, board.limits.read)))
        switch_on(board, session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(lab.boxes["board"]), "switch_on", watched)
        summary = record(once(lab.power_cycle)).summary
    assert summary.reconnections == 1
    assert held[0] == held[-1] != before[0]
    assert len(held) == 2
    recorded()


def test_after_some_tries_it_ends_and_says_so(
    record, wire, monkeypatch, recorded, patience: Callable[[float], float]
):
    monkeypatch.setattr("instruments.recording._reconnection._FIRST", 0.1)

    def refuse() -> None:
        wire.send("SIM:FAUL:REF 60;DROP 2")

    began = time.monotonic()
    with pytest.raises(
        BoardError, match=r"is lost .*; 2 tries to connect again and go on failed, the last because"
    ):
        record(once(refuse), retries=2)
    assert time.monotonic() - began < patience(15)
    assert len(recorded()) >= 4


def test_a_connection_that_drops_before_every_block_uses_the_tries_up(record, wire, recorded):
    with pytest.raises(BoardError, match="1 try to connect again and go on failed") as caught:
        record(once(lambda: wire.send("SIM:FAUL:DROP 5;DROP 5")), retries=1)
    assert caught.value.lost
    assert wire.ask("SIM:FAUL?") == '""'
    recorded()


def test_ctrl_c_while_it_tries(record, wire, recorded, patience: Callable[[float], float]):
    began: list[float] = []

    def look(procedure: RecordBits) -> None:
        progress = procedure.progress
        if progress.blocks >= 3 and not began:
            began.append(0.0)
            wire.send("SIM:FAUL:DROP 2;DROP 2;REF 60")
        if progress.stage == "reconnecting":
            began[0] = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(look, retries=1000)
    assert time.monotonic() - began[0] < patience(5)
    recorded()


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("IDEN ARRAY-BOARD-2", BenchError, r"ARRAY-BOARD-SIM.* and now says it is .*ARRAY-BOARD-2"),
        ("INT 0", BenchError, "the interlock .* is open"),
        ("TEMP 370", BoardError, "Over-temperature"),
        ("SHOR " + ";SHOR ".join(f"{row},7" for row in range(32)), None, ""),  # 2.5 %
        ("SHOR " + ";SHOR ".join(f"{row},{c}" for row in range(32) for c in (7, 8, 9)), BenchError,
         r"7\.\d% of the cells of the 'board' read neither"),
    ],
    ids=["another board", "interlock", "temperature", "few cells astray", "many cells astray"],
)  # fmt: skip
def test_only_a_lost_connection_is_tried_again(
    record, wire, fault: str, error: type[Exception] | None, said: str, recorded
):
    def act() -> None:
        # The cut first: an interlock that opens while it is connected is another matter.
        wire.send("SIM:FAUL:REF 0.3;DROP 0")
        wire.wait_for_output(False)
        for line in [f"SIM:FAUL:{part}" for part in fault.split(";")]:
            wire.send(line)
        assert wire.ask("SYST:ERR?").startswith(("0", "10"))

    astray = error is None
    if astray:
        summary = record(once(act)).summary
        assert summary.reconnections == 1
        assert summary.health.cells_failed == 32  # what reads one state only is found by the health tests
    else:
        with pytest.raises(error, match=said):
            record(once(act))
    assert recorded()["health"].any() == astray


class Cable:
    """A wire to the board that can be cut: what is connected then hears nothing more, and is not closed."""

    def __init__(self, resource: str) -> None:
        _, host, port, _ = resource.split("::")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._cut: list[threading.Event] = []
        self._sockets: list[socket.socket] = [self._server]
        self.resource = f"TCPIP::127.0.0.1::{self._server.getsockname()[1]}::SOCKET"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for event in self._cut:
            event.set()

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the threads that wait at it
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                host = self._server.accept()[0]
            except OSError:
                return
            board, cut = socket.create_connection(self._target), threading.Event()
            for end in (host, board):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [host, board]
            self._cut.append(cut)
            for ends in ((host, board), (board, host)):
                threading.Thread(target=self._pass, args=(*ends, cut), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, cut: threading.Event) -> None:
        try:
            while (data := source.recv(1 << 16)) and not cut.is_set():
                sink.sendall(data)
        except OSError:
            return
        if not cut.is_set():
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def cable(resource: str) -> Iterator[Cable]:
    cable = Cable(resource)
    yield cable
    cable.close()


@pytest.mark.slow
def test_a_cut_cable_leaves_the_output_to_the_new_connection(
    record, cable: Cable, write_bench, wire, recorded
):
    """No close arrives, so the board is still on: the new connection switches it off before anything else."""
    path = write_bench(cable.resource, timeout=0.7)
    on_after: list[bool] = []

    def cut() -> None:
        cable.cut()
        time.sleep(0.2)
        on_after.append(wire.output_is_on())

    summary = record(once(cut), path=path, watchdog=20.0).summary
    assert on_after == [True]
    assert summary.reconnections == 1
    assert wire.ask("SYST:WATC:TRIP?") == "0"
    recorded()
