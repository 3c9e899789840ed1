"""The state file: magnetisation that outlives the lab, however it ends; files and labs that do not fit."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mock_hw import Lab, LabError, LabSettings
from mock_hw._array import forgetting

# The set that keeps its magnetisation for longer than a test takes.
BOX = {"kind": "array-board", "rows": 12, "columns": 10, "device": "A"}
PULSES = "PULS:PER 40e-9;VOLT 1.6;WIDT 20e-9;:SENS:VOLT 0.1;:SEQ:MODE TOGG;:ACQ:COUN 9;BLOC 9;:OUTP ON;:INIT"


def settings(seed: int | None = None, **boxes: dict) -> LabSettings:
    return LabSettings.model_validate({"lab": {"seed": seed}, "boxes": boxes or {"board": BOX}})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lab.npz"


def whole(file: Path) -> None:
    """Serve a lab for a moment."""
    with Lab(settings(), state=file):
        pass


def states(client) -> np.ndarray:
    """Which cells read antiparallel."""
    client.send("SENS:VOLT 0.1;:OUTP ON")
    return np.frombuffer(client.block("ARR:RES?"), "<f4") > 123e3


def test_magnetisation_and_seed_survive_a_restart(connect_to, file):
    seen = []
    for _ in range(2):
        with Lab(settings(), state=file) as lab:
            board = connect_to(lab)
            seen.append((lab.seed, states(board)))
            board.send(PULSES)
            assert len(board.block("FETC?")) > 64
            after = states(board)
            board.close()
        seen.append((lab.seed, after))
    with Lab(settings(), state=file) as lab:
        board = connect_to(lab)
        seen.append((lab.seed, states(board)))
        resistances = lab.arrays["board"].device.cells
        board.close()
    assert len({seed for seed, _ in seen}) == 1
    assert resistances == 120
    np.testing.assert_array_equal(seen[1][1], seen[2][1])
    np.testing.assert_array_equal(seen[3][1], seen[4][1])
    assert (seen[0][1] != seen[1][1]).any()


def test_draws_go_on_where_they_were(connect_to, file, monkeypatch, wait_until):
    """After a restart the bits are those that the lab would have drawn without one, but for the time between."""
    monkeypatch.setattr("mock_hw.SimulatedArray.rest", lambda self, seconds, **how: None)
    drawn = []
    for restarts in (0, 1):
        path = file.with_name(f"{restarts}.npz")
        bits = []
        lab = Lab(settings(seed=5), state=path).__enter__()
        for _ in range(2):
            board = connect_to(lab)
            wait_until(
                lambda on=board: on.ask("OUTP?") == "0", what="the connection before still owns the board"
            )
            assert board.errors(PULSES) == []
            blocks = iter(lambda on=board: on.block("FETC?"), None)
            # empty where a busy machine takes longer than half a second
            bits.append(next(block for block, _ in zip(blocks, range(100), strict=False) if block)[64:])
            board.close()
            if restarts:
                lab.__exit__()
                lab = Lab(settings(), state=path).__enter__()
        lab.__exit__()
        drawn.append(bits)
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]


def test_time_without_power_goes_by_while_the_lab_is_off(file, monkeypatch):
    rests: list[tuple[float, bool]] = []
    began = time.time()
    with Lab(settings(), state=file):
        time.sleep(0.2)
    monkeypatch.setattr(
        "mock_hw.SimulatedArray.rest",
        lambda self, seconds, *, powered=True, **how: rests.append((seconds, powered)),
    )
    time.sleep(0.2)
    whole(file)
    (idle, with_power), (off, without_power) = rests
    assert (with_power, without_power) == (True, False)
    assert idle > 0.2
    assert off > 0.2
    assert idle + off < time.time() - began + 0.1


def test_a_clock_that_went_backwards_is_no_time(file, monkeypatch):
    whole(file)
    rests: list[float] = []
    monkeypatch.setattr("mock_hw.SimulatedArray.rest", lambda self, s, **how: rests.append(s))
    monkeypatch.setattr("mock_hw._lab.time.time", lambda: 1e9)
    whole(file)
    assert min(rests) >= 0


def test_two_boxes_keep_each_their_own(connect_to, file):
    boxes = {"one": BOX, "two": {**BOX, "rows": 7}}
    kept = {}
    with Lab(settings(**boxes), state=file) as lab:
        for name, resource in lab.resources.items():
            board = connect_to(resource)
            kept[name] = states(board)
            board.close()
    with Lab(settings(**boxes), state=file) as lab:
        for name, resource in lab.resources.items():
            board = connect_to(resource)
            np.testing.assert_array_equal(states(board), kept[name])
            board.close()


def test_the_same_seed_is_welcome_and_another_is_not(file):
    with Lab(settings(seed=2**70), state=file):
        pass
    with Lab(settings(), seed=2**70, state=file) as lab:
        assert lab.seed == 2**70
    with pytest.raises(LabError, match=rf"lab\.npz was made with seed {2**70}, not 5: leave the seed out"):
        Lab(settings(seed=5), state=file)
    with Lab(settings(), state=file) as lab:
        assert lab.seed == 2**70


# Files that do not fit


class Surprise:
    """What a pickle may do to whoever loads it."""

    def __reduce__(self):
        return os.mkdir, ("surprise",)


def changed(**entries: object):
    def change(file: Path) -> None:
        whole(file)
        with np.load(file) as content:
            arrays = {**content, **{name.replace("_", "."): value for name, value in entries.items()}}
        np.savez(file, **{name: np.asarray(value) for name, value in arrays.items() if value is not None})

    return change


def truncated(file: Path) -> None:
    whole(file)
    file.write_bytes(file.read_bytes()[:-30])


def damaged(file: Path) -> None:
    whole(file)
    content = bytearray(file.read_bytes())
    at = content.find(b"antiparallel.npy") + 16 + 128
    content[at] ^= 1
    file.write_bytes(content)


def pickled(file: Path) -> None:
    np.savez(file, format=np.array(["memtj simulated laboratory", Surprise()], object))


MISFITS = {
    "empty": (lambda file: file.write_bytes(b""), "no whole .npz file"),
    "text": (lambda file: file.write_text("seed = 3"), "no whole .npz file"),
    "a pickle": (lambda file: file.write_bytes(pickle.dumps(Surprise())), "no whole .npz file"),
    "pickles inside": (pickled, "allow_pickle=False"),
    "truncated": (truncated, "no whole .npz file"),
    "one bit damaged": (damaged, "CRC-32"),
    "another program's": (lambda file: np.savez(file, x=np.arange(3)), "lacks .*format"),
    "another format": (changed(format="x"), "of another program"),
    "a later version": (changed(version=2), "version 2 of the format, and this program 1"),
    "no magnetisation": (changed(**{"0_array_antiparallel": None}), "does not fit the box 'board' .it lacks"),
    "another device": (changed(**{"0_device": "the other one"}), "of another device, the other one"),
    "other boxes": (changed(boxes=["scope"], **{}), "of the boxes scope, and this lab has board"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_file_that_does_not_fit_is_left_alone(file, monkeypatch, name):
    monkeypatch.chdir(file.parent)
    make, message = MISFITS[name]
    make(file)
    before = file.read_bytes()
    with pytest.raises(LabError, match=message) as caught:
        Lab(settings(), state=file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before
    assert not (file.parent / "surprise").exists()
    # The lock is free again.
    file.unlink()
    whole(file)


@pytest.mark.parametrize(
    ("box", "device", "why"),
    [
        ({**BOX, "rows": 11}, None, "it holds 12 × 10 cells"),
        (BOX, "C", "it is of another device, A: "),
    ],
)
def test_a_state_is_of_no_use_for_another_shape_or_device(file, box, device, why):
    whole(file)
    before = file.read_bytes()
    with pytest.raises(LabError, match=rf"does not fit the box 'board' \({why}"):
        Lab(settings(board=box), device=device, state=file)
    assert file.read_bytes() == before


def test_a_place_that_cannot_be_written(tmp_path):
    for place, why in ((tmp_path / "nowhere" / "lab.npz", "cannot be locked"), (tmp_path, "is a folder")):
        with pytest.raises(LabError, match=why):
            Lab(settings(), state=place)


def test_a_lab_that_has_ended_gave_its_file_back(file):
    lab = Lab(settings(), state=file)
    with lab:
        pass
    with Lab(settings(), state=file) as other:
        with pytest.raises(LabError, match="has been given back: make another lab"):
            lab.__enter__()
        assert other.seed == lab.seed
    Lab(settings(), state=file)  # never served, and forgotten
    whole(file)


def test_a_link_is_followed(file, tmp_path):
    link = tmp_path / "link.npz"
    try:
        link.symlink_to(file)
    except OSError:
        pytest.skip("no links here")
    whole(link)
    assert link.is_symlink()
    assert file.exists()
    with Lab(settings(), state=file), pytest.raises(LabError, match="in use by another lab"):
        Lab(settings(), state=link)


# Processes


def serve(start, file: Path, box: dict = BOX) -> tuple[subprocess.Popen[str], dict]:
    lab = file.with_name("lab.toml")
    lab.write_text("[boxes.board]\n" + "".join(f"{key} = {value!r}\n" for key, value in box.items()))
    process = start(f"from mock_hw import serve; serve({str(lab)!r}, json=True, state={str(file)!r})")
    return process, json.loads(process.stdout.readline())


def test_a_second_lab_is_refused_until_the_first_is_gone(start, file):
    process, ready = serve(start, file)
    with pytest.raises(LabError, match=r"lab\.npz is in use by another lab: end that one"):
        Lab(settings(), state=file)
    process.kill()
    process.wait(60)
    with Lab(settings(), state=file) as lab:
        assert lab.seed == ready["seed"]


@pytest.mark.slow
def test_a_killed_lab_loses_only_the_running_acquisition(connect_to, start, file, wait_until):
    process, ready = serve(start, file)
    board = connect_to(ready["resources"]["board"])
    board.send(PULSES)
    assert len(board.block("FETC?")) > 64
    kept = states(board)
    board.send("OUTP OFF")
    wait_for_a_write(file, board, wait_until)
    board.send(PULSES.replace("COUN 9", "COUN 0"))
    assert len(board.block("FETC?")) > 64
    time.sleep(0.2)
    process.kill()
    process.wait(60)
    board.close()
    _, ready = serve(start, file)
    board = connect_to(ready["resources"]["board"])
    np.testing.assert_array_equal(states(board), kept)
    board.close()


def wait_for_a_write(file: Path, board, wait_until) -> None:
    before = file.stat().st_mtime_ns
    # What was done before may be written already: something more to write, and then that must come.
    board.send("OUTP ON;:OUTP OFF")
    wait_until(lambda: file.stat().st_mtime_ns != before)
    time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM between processes on Windows")
def test_a_terminated_lab_keeps_the_last_state(connect_to, start, file, patience):
    process, ready = serve(start, file)
    board = connect_to(ready["resources"]["board"])
    board.send(PULSES.replace("COUN 9", "COUN 0"))
    assert len(board.block("FETC?")) > 64
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(20)) == 0
    board.close()
    with np.load(file) as content:
        assert content["0.array.epoch"][0] >= 1
        assert time.time() - float(content["0.taken"]) < patience(5)
        assert str(content["saved"]).endswith("+00:00")


@pytest.mark.slow
def test_short_acquisitions_do_not_wear_the_disk(connect_to, file):
    with Lab(settings(), state=file) as lab:
        board = connect_to(lab)
        began, writes, last = time.monotonic(), 0, 0
        while time.monotonic() - began < 1.5:
            board.send(PULSES)
            board.block("FETC?")
            writes += file.stat().st_mtime_ns != last
            last = file.stat().st_mtime_ns
        board.close()
    assert writes <= 4


def test_no_half_written_file_is_left_when_the_disk_is_full(file, monkeypatch):
    whole(file)
    before = file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mock_hw._state_file.np.savez", full)
    with pytest.raises(
        LabError, match=r"cannot be written to .*lab\.npz \(No space left on device\): make room"
    ):
        with Lab(settings(), state=file):
            pass
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["lab.npz", "lab.npz.lock"]


# Draws, and the time under field and hold voltage, of a lab that is killed

FORGETFUL = {"kind": "array-board", "rows": 32, "columns": 32, "device": "C"}
HELD = "SENS:VOLT 0.1;:PULS:WIDT 0.58e-9;DAC:RANG 0.35,1.1;:SYST:WATC 60;:OUTP ON;:FIEL ON;:HOLD:VOLT -0.5"


def drawn(board, mode: str = "FLIP") -> np.ndarray:
    """Draw once, and give the outcome as the board says it: which cells read antiparallel."""
    board.send(f"SEQ:MODE {mode};:ACQ:COUN 1;:INIT")
    while not (payload := board.block("FETC?")):
        pass
    return np.unpackbits(np.frombuffer(payload[64:], np.uint8), count=1024).astype(bool)


@pytest.fixture
def held(connect_to, start, file) -> tuple[subprocess.Popen[str], Any]:
    """A lab in a process of its own, and a connection to its board: the field is on, the hold voltage is held."""
    process, ready = serve(start, file, FORGETFUL)
    board = connect_to(ready["resources"]["board"])
    board.send_block("ARR:THR", np.full(1024, 123e3, "<f4").tobytes())
    assert board.errors(HELD) == []
    board.send_block("ARR:CODE", np.tile(np.uint8([0, 112, 255]), 342)[:1024].tobytes())
    return process, board


def named(file: Path, state: bytes) -> bool:
    """Say whether the last note beside `file` counts with this state, the content of a file."""
    with np.load(f"{file}.last") as note, np.load(io.BytesIO(state)) as content:
        return str(content["saved"]) in note["after"].tolist()


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(60)


def test_the_outcome_of_the_last_draw_outlives_a_lab_that_is_killed(held, file):
    """Within the second in which the whole state is not written again; held, no cell forgets in that time."""
    process, board = held
    outcomes = []
    for _ in range(6):
        outcomes.append(drawn(board))
        time.sleep(0.05)
    killed(process)
    assert file.with_name("lab.npz.last").exists()
    time.sleep(0.5)
    lab = Lab(settings(board=FORGETFUL), state=file)
    found = lab.arrays["board"].antiparallel.ravel()
    assert (found != outcomes[-1]).mean() < 0.02  # misread, with one threshold for all
    assert min((found != each).mean() for each in outcomes[:-1]) > 0.1
    with lab:
        now = lab.boxes["board"]
        assert (now.output, now.settings.hold, now.field_on) == (False, 0.0, False)


def test_time_in_the_field_counts_until_the_lab_was_killed_and_no_further(held, file, patience):
    process, board = held
    before = drawn(board, "READ")
    began = time.time()
    assert board.errors("HOLD:VOLT 0") == []
    released = time.time()
    time.sleep(0.2)
    killing = time.time()
    killed(process)
    time.sleep(0.6)  # in the field a third of the cells would flip
    lab = Lab(settings(board=FORGETFUL), state=file)
    flipped = (lab.arrays["board"].antiparallel.ravel() != before).mean()
    rates = [lab.arrays["board"].device.retention_rate(300.0, 0.0, state) for state in (False, True)]

    def expected(seconds: float) -> float:
        from_parallel, from_antiparallel = forgetting(rates[0], rates[1], max(seconds, 0.0))
        return float(np.where(before, from_antiparallel, from_parallel).mean())

    # The last sign of life may be 20 ms old, more on a busy machine; 5 σ of 1,024 cells, and misreadings.
    least, most = expected(killing - released - patience(0.05)), expected(killing - began + patience(0.02))
    assert least - 0.08 < flipped < most + 0.08
    assert flipped < 0.26 or most > 0.2


def test_a_note_counts_with_the_state_that_it_was_written_after_and_no_other(held, file, wait_until):
    process, board = held
    old = file.read_bytes()
    outcome = drawn(board)
    wait_until(lambda: file.read_bytes() != old, what="the whole state, written again")
    later = drawn(board)
    wait_until(lambda: not named(file, old), what="a note after the newer state alone")
    killed(process)
    file.write_bytes(old)
    lab = Lab(settings(board=FORGETFUL), state=file)
    for each in (outcome, later):
        assert (lab.arrays["board"].antiparallel.ravel() != each).mean() > 0.05
    lab.__exit__()
    file.with_name("lab.npz.last").write_bytes(b"PK no such thing")
    assert Lab(settings(board=FORGETFUL), state=file).seed == lab.seed
