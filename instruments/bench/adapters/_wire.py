"""Lines to a box, and its answers: no setter is trusted, no late answer passes; all trouble is BenchError."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from pymeasure.instruments import Instrument

from ..._errors import BenchError

SOCKET_LINES = {"read_termination": "\n", "write_termination": "\n"}  # pyvisa has none on a socket by default
_MARKS = cycle(range(1, 256))
_LATE = 20  # answers to earlier questions that are passed over


@dataclass(frozen=True)
class Expected:
    """A question, and the answer to it: a word, or a number within 0.01 % and `resolution` (the unit's own)."""

    question: str
    wanted: str | float
    resolution: float = 0.0

    def is_met(self, answer: str) -> bool:
        """Say whether this is the answer."""
        if isinstance(self.wanted, str):
            return answer == self.wanted
        return abs(_number(answer) - self.wanted) <= 1e-4 * abs(self.wanted) + self.resolution


def tell(box: Instrument, *lines: str) -> None:
    """Send lines one by one."""
    for line in lines:
        try:
            box.write(line)
        except Exception as error:  # drivers and wires raise what they like
            raise BenchError(f"the {box.name!r} does not take {line}: {_said(error)}") from error


def ask(box: Instrument, question: str, *, marked: bool = True) -> str:
    """Ask and give the answer.

    A question that was not answered in time may be answered later, and would be taken for the answer to the next: so
    a mark comes before each answer, by way of `*ESE`. Without it nothing is changed, not even that.
    """
    mark = next(_MARKS)
    try:
        box.write(f"*ESE {mark};*ESE?;{question}" if marked else question)
        for _ in range(_LATE):
            answer = str(box.read()).strip()
            if not marked:
                return answer
            head, separator, rest = answer.partition(";")
            if _number(head) == mark:
                if not separator:
                    raise BenchError(f"the {box.name!r} does not know {question}: is it the right box?")
                return rest.strip()
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"the {box.name!r} does not answer {question}: {_said(error)}") from error
    raise BenchError(f"the {box.name!r} does not answer {question}, but other questions: open it anew")


def ask_number(box: Instrument, question: str, *, marked: bool = True) -> float:
    """Ask for a number; raises BenchError where none is answered."""
    answer = ask(box, question, marked=marked)
    if math.isnan(found := _number(answer)):
        raise _unlike(box, question, answer, "a number")
    return found


def tell_and_expect(box: Instrument, lines: Sequence[str], *expected: Expected) -> None:
    """Send lines and questions in one message: the way to the box and back takes longer than what it does.

    Raises BenchError where an answer is another one, or where the box has an error in its queue.
    """
    parts = [*lines, *(each.question for each in expected), "SYST:ERR?"]
    message = ";".join(part if part.startswith("*") else f":{part}" for part in parts)
    answers = ask(box, message).split(";", len(expected))  # the text of an error may hold more of them
    if len(answers) <= len(expected):
        raise _unlike(box, message, ";".join(answers), f"{len(expected) + 1} answers")
    _refuse_error(box, answers[-1])
    for each, answer in zip(expected, answers, strict=False):
        _compare(box, each, answer)


def expect_model(box: Instrument, models: tuple[str, ...], *, marked: bool = True) -> None:
    """Raise BenchError where the box does not answer `*IDN?` with one of these models."""
    identity = ask(box, "*IDN?", marked=marked)
    if not is_model(identity, models):
        raise BenchError(
            f"the {box.name!r} is {identity!r} where a model {' or '.join(models)} is expected: put the right "
            "box there"
        )


def is_model(identity: str, models: tuple[str, ...]) -> bool:
    """Say whether an answer to `*IDN?` is that of one of these models."""
    fields = [field.strip() for field in identity.split(",")]
    return len(fields) == 4 and fields[1].startswith(models)


def expect(box: Instrument, *expected: Expected) -> None:
    """Raise BenchError where an answer is another one; each is asked for by itself."""
    for each in expected:
        _compare(box, each, ask(box, each.question))


def expect_number(box: Instrument, question: str, wanted: float, resolution: float) -> None:
    """Raise BenchError where the answer is further than 0.01 % and `resolution` (the unit's own) from `wanted`."""
    expect(box, Expected(question, wanted, resolution))


def expect_range(box: Instrument, question: str, least: float, most: float) -> None:
    """Raise BenchError where the answer is not from `least` to `most`."""
    answer = ask(box, question)
    if not least * (1 - 1e-6) <= _number(answer) <= most * (1 + 1e-6):
        raise _unlike(box, question, answer, f"{least:g} to {most:g}")


def expect_word(box: Instrument, question: str, word: str) -> None:
    """Raise BenchError where the answer is not this word."""
    expect(box, Expected(question, word))


def expect_no_error(box: Instrument) -> None:
    """Raise BenchError where the box has an error in its queue."""
    _refuse_error(box, ask(box, "SYST:ERR?"))


def _refuse_error(box: Instrument, answer: str) -> None:
    if _number(answer.split(",")[0]) != 0:
        raise BenchError(f"the {box.name!r} says {answer}: look at it before going on")


def is_on(box: Instrument, question: str, *, marked: bool = True) -> bool:
    """Ask whether a switch is on; raises BenchError for an answer that is neither."""
    answer = ask(box, question, marked=marked)
    if answer not in ("0", "1"):
        raise _unlike(box, question, answer, "0 or 1")
    return answer == "1"


def try_all(box: Instrument, *steps: Callable[[], object]) -> None:
    """Take every step of the way to safety, whatever fails; raises BenchError that says all that failed."""
    failed: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            failed.append(error)
    if failed:
        said = "; ".join(dict.fromkeys(str(error).removeprefix(f"the {box.name!r} ") for error in failed))
        raise BenchError(
            f"the {box.name!r} is not known to be off, switch it off by hand: it {said}"
        ) from failed[0]


@contextlib.contextmanager
def off_where_it_fails(off: Callable[[], None]) -> Iterator[None]:
    """Have a failure in here end with `off`; it stays the failure that is raised, with a note where that fails too."""
    try:
        yield
    except BaseException as error:
        try:
            off()
        except Exception as trouble:
            error.add_note(str(trouble))
        raise


def _number(answer: str) -> float:
    try:
        return float(answer)
    except ValueError:
        return math.nan


def _compare(box: Instrument, expected: Expected, answer: str) -> None:
    if not expected.is_met(answer):
        wanted = expected.wanted
        raise _unlike(box, expected.question, answer, wanted if isinstance(wanted, str) else f"{wanted:g}")


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _unlike(box: Instrument, question: str, answer: str, wanted: str) -> BenchError:
    return BenchError(
        f"the {box.name!r} answers {question} by {answer!r} where {wanted} is expected: look at it before going on"
    )
