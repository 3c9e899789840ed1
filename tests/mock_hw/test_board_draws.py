"""Draws of the simulated board: no sequence of settings drives a junction above a limit; a table is whole or not."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_hw import MacrospinDevice, SimulatedArray
from mock_hw.boxes.array_board import TABLE, ArrayBoard, Limits, Session

ROWS, COLUMNS, BITS = 3, 4, 6
CELLS, HIGHEST = ROWS * COLUMNS, (1 << BITS) - 1
HAIR = 1 + 1e-9


class Witness:
    """A device that notes the largest pulse that any cell has had."""

    def __init__(self) -> None:
        self.largest = 0.0
        self._device = MacrospinDevice.of("C", CELLS, 1)

    def __getattr__(self, name: str):
        return getattr(self._device, name)

    def switching_probability(self, voltage, *others):
        self.largest = max(self.largest, float(np.abs(voltage).max()))
        return self._device.switching_probability(np.clip(voltage, -1.5, 1.5), *others)


def block(header: str, content: bytes) -> bytes:
    size = str(len(content)).encode()
    return b"%s #%d%s%s\n" % (header.encode(), len(size), size, content)


def line(form: str, *values: float) -> bytes:
    return (form % values).encode() + b"\n"


VOLTS = st.floats(-2.2, 2.2) | st.sampled_from([0.0, -0.5, 0.35, 1.5, 2.0])
LOW_VOLTS = st.floats(-0.8, 0.8) | st.sampled_from([0.0, -0.5])
CODES = st.lists(st.integers(0, HIGHEST + 1), min_size=CELLS, max_size=CELLS) | st.integers(0, HIGHEST).map(
    lambda code: [code] * CELLS
)
TABLES = CODES.map(lambda codes: block("ARR:CODE", bytes(codes)))
TRIMS = st.tuples(
    st.sampled_from(["ARR:TRIM", "ARR:TRIM:ANT"]), st.lists(LOW_VOLTS, min_size=CELLS, max_size=CELLS)
).map(lambda each: block(each[0], np.array(each[1], "<f4").tobytes()))
GO = b"OUTP ON;:ACQ:COUN 1;:INIT\n"
PLAIN = st.sampled_from(
    [b"OUTP ON\n", b"OUTP OFF\n", b"ABOR\n", b"*RST\n", b"SEQ:MODE FLIP\n", b"SEQ:MODE WRIT\n", b"SEQ:MODE READ\n",
     b"SEQ:MODE RES\n", b"FIEL ON\n", b"FIEL OFF\n", GO, GO, GO, b"FETC?\n", b"", b"power"]
)  # fmt: skip
SETTINGS = st.one_of(
    TABLES,
    TABLES,
    TRIMS,
    st.tuples(VOLTS, VOLTS).map(lambda volts: line("PULS:DAC:RANG %r,%r", *volts)),
    LOW_VOLTS.map(lambda volts: line("HOLD:VOLT %r", volts)),
    VOLTS.map(lambda volts: line("PULS:VOLT %r", volts)),
    VOLTS.map(lambda volts: line("RES:VOLT %r", volts)),
    st.floats(0, 2.0).map(lambda volts: line("LIM:VOLT %r", volts)),
    st.floats(0, 0.6).map(lambda volts: line("LIM:HOLD %r", volts)),
    PLAIN,
    PLAIN,
)
STEPS = st.lists(st.tuples(st.integers(0, 1), SETTINGS), min_size=5, max_size=30)


def errors_of(session: Session, message: bytes) -> list[int]:
    """The errors that a message causes; an empty message closes and opens the connection."""
    session.status.clear()
    for response in session.feed(message):
        assert response
    return [int(text.split(",")[0]) for text in iter(session.status.pop, '0,"No error"')]


def two_sessions(board: ArrayBoard) -> list[Session]:
    return [Session(board, TABLE), Session(board, TABLE)]


def boards() -> Iterator[tuple[ArrayBoard, Witness]]:
    witness = Witness()
    array = SimulatedArray(witness, ROWS, COLUMNS, 1)
    board = ArrayBoard(array, dac_bits=BITS, limits=Limits(voltage=1.5, hold=0.6))
    try:
        yield board, witness
    finally:
        board.close()


def check(board: ArrayBoard) -> None:
    """Whatever is set now is within the limits, pulse and hold voltage together; without output there is no hold."""
    now, limits = board.settings, board.limits
    volts = now.voltage + now.trim.astype(float)
    pulses = [now.code_volts, volts, volts + now.trim_ap, np.array(now.reset_voltage)]
    assert max(np.abs(each).max() for each in pulses) + abs(now.hold) <= limits.voltage * HAIR
    assert abs(now.hold) <= limits.hold
    assert board.output or now.hold == 0
    assert board.output or not (board.field_on and board.field_switched)


def take_codes(board: ArrayBoard, before: np.ndarray, message: bytes, errors: list[int]) -> None:
    """A table was taken whole, or refused and nothing has changed."""
    wanted = np.frombuffer(message[-CELLS - 1 : -1], np.uint8).reshape(ROWS, COLUMNS)
    now, limits = replace(board.settings, codes=wanted.astype(np.uint16)), board.limits
    fits = wanted.max() <= HIGHEST and now.largest("voltage") <= limits.voltage
    if errors:
        assert errors in ([-222], [-203], [-221])
        assert errors != [-222] or not fits
        np.testing.assert_array_equal(board.settings.codes, before)
    else:
        assert fits
        np.testing.assert_array_equal(board.settings.codes, wanted)


@settings(max_examples=150)
@given(STEPS)
def test_no_sequence_of_settings_drives_a_junction_above_a_limit(steps):
    for board, witness in boards():
        sessions = two_sessions(board)
        for who, message in steps:
            codes, held, limit = board.settings.codes.copy(), abs(board.settings.hold), board.limits.voltage
            if message == b"":
                sessions[who].close()
                sessions[who] = Session(board, TABLE)
            elif message == b"power":
                board.power_cycle()
                sessions = two_sessions(board)
            else:
                errors = errors_of(sessions[who], message)
                if message.startswith(b"ARR:CODE"):
                    take_codes(board, codes, message, errors)
            with board.changed:
                board.wait_until_still()
            assert witness.largest + held <= limit * HAIR
            witness.largest = 0.0
            check(board)


def test_a_refused_code_changes_nothing_and_a_table_of_another_size_neither():
    for board, _ in boards():
        session = Session(board, TABLE)
        good = bytes(range(1, CELLS + 1))
        assert errors_of(session, line("PULS:DAC:RANG %r,%r", 0.35, 1.1)) == []
        assert errors_of(session, block("ARR:CODE", good)) == []
        for wrong, number in (
            (bytes([HIGHEST + 1]) + good[1:], -222),
            (good[:-1] + bytes([HIGHEST + 1]), -222),
            (good[:-1], -161),
            (good + good[:1], -161),
        ):
            assert errors_of(session, block("ARR:CODE", wrong)) == [number]
            assert board.settings.codes.tobytes() == np.frombuffer(good, np.uint8).astype(np.uint16).tobytes()
        assert errors_of(session, b"OUTP ON;:HOLD:VOLT 0.5\n") == []
        above = bytes([HIGHEST]) + good[1:]  # 1.1 + 0.5 V, and the board has 1.5
        assert errors_of(session, block("ARR:CODE", above)) == [-222]
        assert board.settings.codes.ravel().tolist() == list(good)


def test_the_output_goes_off_whatever_the_array_says(monkeypatch):
    for board, _ in boards():
        session = Session(board, TABLE)
        assert errors_of(session, b"OUTP ON;:HOLD:VOLT 0.5;:FIEL ON\n") == []

        def fail(*_: object, **__: object) -> None:
            raise ValueError("the model does not go so far")

        monkeypatch.setattr(board.array, "rest", fail)
        with contextlib.suppress(ValueError):
            session.close()
        assert not board.output
        assert (board.settings.hold, board.field_on) == (0.0, False)
        monkeypatch.undo()
