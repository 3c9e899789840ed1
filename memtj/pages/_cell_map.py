"""Values of cells as a picture of the array."""

import numpy as np


def as_map(cells: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Lay values out by row and column; float64, NaN where there is no cell.

    `cells`: CELL_DTYPE, (cells,), `values` one for each.
    """
    rows = cells["row"].astype(int) - int(cells["row"].min())
    columns = cells["column"].astype(int) - int(cells["column"].min())
    out = np.full((rows.max() + 1, columns.max() + 1), np.nan)
    out[rows, columns] = values
    return out
