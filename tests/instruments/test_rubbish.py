"""A board that says what is no number while it is recorded: nothing of it comes into the rows."""

from pathlib import Path

import numpy as np
import pytest

from drivers import BoardError
from entropy import Store
from instruments import Bench, run
from instruments.procedures import RecordBits, RecordingProgress
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
def test_a_temperature_that_is_none_ends_the_recording(
    lab: Lab, bench_file: Path, tmp_path: Path, recorded, wire, word: str
):
    def look(progress: RecordingProgress) -> None:
        if progress.blocks >= 2:
            lab.boxes["board"].temperature = Said(word)

    settings = {"mode": "toggle", "block_bits": 32 * 40 * 200, "calibrate": False, "bits": 0}
    with Bench.from_toml(bench_file) as bench, Store(tmp_path / "store") as store:
        procedure = RecordBits(bench=bench, store=store, ahead=10**10, **settings)
        with pytest.raises(
            BoardError, match=rf"answered '{word}' to 'SYST:TEMP\?', which is not a finite number"
        ):
            run(procedure, tmp_path / "rows.csv", look)
    assert not wire.output_is_on()
    rows = recorded()
    assert len(rows) >= 2
    assert np.isfinite(rows["temperature"]).all()
    assert np.isfinite(rows["board_time"]).all()
