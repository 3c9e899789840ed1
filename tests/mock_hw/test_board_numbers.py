"""Numbers that are none, or that nothing holds, change nothing: every command that takes one is asked."""

import numpy as np
import pytest

from mock_hw import Lab
from mock_hw._scpi import block, integer, number
from mock_hw.boxes.array_board import TABLE
from mock_hw.faults._board import FaultySession, simulator_commands

NOT_A_NUMBER = ["NAN", "nan", "INF", "-INF", "+INFINITY", "1e", "0x10", "1_0", "--1", "1e5e5", "1.2.3"]
TOO_LARGE = ["1e999", "-1e999", "9" * 400, "1e308", "-1e308"]
COMMANDS = [
    command
    for command in (*TABLE.commands, *simulator_commands(None))
    if command.write is not None
    and command.parameters
    and command.parameters[0] is not block
    and command.header != "SIMulator:FAULt:IDENtity"  # a text
]


@pytest.fixture(scope="module")
def session():
    with Lab.default(seed=3) as lab:
        session = lab.faults["board"].open_session(None)
        yield session
        session.close()


def answers(session: FaultySession, line: str) -> str:
    return "".join(
        bytes(piece).decode() for response in session.feed(line.encode() + b"\n") for piece in response
    )


def error(session: FaultySession, line: str) -> int:
    answers(session, line)
    first = int(answers(session, "SYST:ERR?").split(",")[0])
    answers(session, "*CLS")
    return first


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.header)
def test_what_is_no_number_is_refused(session: FaultySession, command):
    state = (
        session.honest.board.settings,
        session.honest.board.limits,
        answers(session, "SIM:FAUL?;:*ESE?;*SRE?;OUTP?"),
    )
    header = command.header.replace("[", "").replace("]", "")
    for place, convert in enumerate(command.parameters):
        for text in NOT_A_NUMBER + TOO_LARGE:
            values = ["0"] * len(command.parameters)
            values[place] = text
            refused = error(session, f"{header} {','.join(values)}")
            wanted = {-104, -102, -108} if text in NOT_A_NUMBER else {-104, -222, -203}
            assert refused in wanted, (place, text)
            assert convert is not number or text not in TOO_LARGE or refused != -104
    assert state == (
        session.honest.board.settings,
        session.honest.board.limits,
        answers(session, "SIM:FAUL?;:*ESE?;*SRE?;OUTP?"),
    )


@pytest.mark.parametrize("header", [c.header for c in TABLE.commands if c.write and block in c.parameters])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32(3e38)])
def test_blocks_of_what_is_no_number_are_refused(session: FaultySession, header: str, value: float):
    if header in ("ARRay:MASK", "ARRay:CODE") or (header == "ARRay:THReshold" and np.isfinite(value)):
        return  # bits, whole numbers; and any finite threshold is one
    array = session.honest.board.array
    values = np.zeros((array.rows, array.columns), "<f4")
    values[1, 2] = value
    before = session.honest.board.settings
    answers(session, "*CLS")
    content = b"#6%06d%s\n" % (values.nbytes, values.tobytes())
    with np.errstate(over="raise"):
        assert list(session.feed(header.encode() + b" " + content)) == []
    assert answers(session, "SYST:ERR?").startswith("-222")
    assert session.honest.board.settings is before


def test_integers_are_rounded_as_the_standard_says():
    assert [integer(text) for text in ("2.4", "-1.6", "1e2")] == [2, -2, 100]
