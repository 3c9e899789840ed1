"""Which cells of an array hold which pixels."""

import numpy as np

from memtj._errors import CommandError


def place(used: np.ndarray, shape: tuple[int, int], pictures: int, height: int, width: int) -> np.ndarray:
    """Give the cell of each pixel, int (pictures, height · width), pictures side by side on an array of `shape`.

    A pixel whose cell is not `used`, bool (cells,), has a spare one instead. Raises CommandError where there are too
    few cells.
    """
    rows, columns = shape
    wanted = pictures * height * width
    if used.sum() < wanted:
        raise CommandError(
            f"{pictures} pictures of {height} × {width} pixels need {wanted:,} cells, and {used.sum():,} of "
            f"{used.size:,} can be used: draw fewer at a time, or calibrate again"
        )
    grid = np.arange(rows * columns).reshape(rows, columns)
    tiles = grid[: rows // height * height, : columns // width * width]
    tiled = tiles.reshape(rows // height, height, columns // width, width).swapaxes(1, 2).ravel()
    order = np.concatenate([tiled, np.setdiff1d(grid, tiled)])
    cells, spares = order[:wanted].copy(), order[wanted:]
    lost = ~used[cells]
    cells[lost] = spares[used[spares]][: lost.sum()]
    return cells.reshape(pictures, height * width)


def most_pictures(used: np.ndarray, pixels: int) -> int:
    """Give how many pictures of so many pixels the used cells hold at a time."""
    return int(used.sum()) // pixels
