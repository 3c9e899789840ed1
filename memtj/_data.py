"""Pictures that people bring, with what is odd about them said."""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sampler import DataSet


def load_told(dataset: str | Path, *, size: int | None = None, channels: int | None = None) -> "DataSet":
    """Load a data set as `sampler.load_data` does; what it warns of goes to standard error as a note each."""
    from sampler import DataSetWarning, load_data

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", DataSetWarning)
        data = load_data(dataset, size=size, channels=channels)
    for warning in found:
        if issubclass(warning.category, DataSetWarning):
            print(f"memtj: note: {warning.message}", file=sys.stderr)
    return data
