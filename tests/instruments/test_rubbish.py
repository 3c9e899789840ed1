"""A board that says what is no number while it is recorded: nothing of it comes into the rows."""

import numpy as np
import pytest

from drivers import BoardError
from instruments.procedures import RecordBits
from mock_hw import Lab


class Said(float):
    """A temperature that is answered as a word."""

    def __new__(cls, word: str) -> "Said":
        said = super().__new__(cls, 300.0)
        said.word = word
        return said

    word: str

    def __add__(self, other: float) -> "Said":
        return self

    def __repr__(self) -> str:
        return self.word


@pytest.mark.parametrize(
    "word", ["nan", *(pytest.param(word, marks=pytest.mark.slow) for word in ("-INF", "ERR"))]
)
def test_a_temperature_that_is_none_ends_the_recording(lab: Lab, record, recorded, word: str):
    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks >= 2:
            lab.boxes["board"].protection.temperature = Said(word)

    said = rf"answered '{word}' to 'SYST:TEMP\?', which is not a finite number"
    with pytest.raises(BoardError, match=said):
        record(look, ahead=10**10)
    rows = recorded()
    assert len(rows) >= 2
    assert np.isfinite(rows["temperature"]).all()
    assert np.isfinite(rows["board_time"]).all()
