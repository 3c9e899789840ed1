"""Statistics of raw bits for reports: P(1) and lag-1 correlation, of every cell and of the stream."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from .._errors import StoreError
from ..arguments import Count, Real, takes
from ..buffer._packed import count_ones
from ..buffer._pieces import in_place
from ._pair_sums import PairSums

if TYPE_CHECKING:
    from ..store._store import Store


@takes(ones=Count(), count=Count(), level=Real(0, 1))
def wilson_interval(ones: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Compute the score interval of a proportion (Wilson, JASA 22, 209, 1927); (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    z, p = NormalDist().inv_cdf((1 + level) / 2), ones / count
    centre, shrink = p + z * z / (2 * count), 1 + z * z / count
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return max(0.0, (centre - half) / shrink), min(1.0, (centre + half) / shrink)


@dataclass(frozen=True)
class CellStatistics:
    """What `cell_statistics` counted over raw, usable bits.

    `cells`: CELL_DTYPE of the first buffer; `ones`, `counts`: int64, (cells,); `cell_pairs`: a cell's outcome
    in consecutive pulses of one block, both usable; `stream_pairs`: consecutive usable bits of one block,
    whatever their cells; `blocks`, `bits`: how much was looked at.
    """

    cells: np.ndarray
    ones: np.ndarray
    counts: np.ndarray
    cell_pairs: PairSums
    stream_pairs: PairSums
    blocks: int
    bits: int

    @property
    def p1(self) -> np.ndarray:
        """P(1) of each cell; float64, (cells,); nan for a cell without a usable bit."""
        with np.errstate(invalid="ignore"):
            return self.ones / self.counts

    @property
    def lag1(self) -> np.ndarray:
        """Lag-1 correlation of each cell; float64, (cells,); its standard error is about 1/√pairs."""
        return self.cell_pairs.correlation

    @property
    def min_entropy(self) -> np.ndarray:
        """Min-entropy of a bit of each cell; float64, (cells,); nan where nothing was counted. See `PairSums`."""
        return self.cell_pairs.min_entropy

    @property
    def ones_fraction(self) -> float:
        """P(1) of the whole stream."""
        return float(self.ones.sum() / self.counts.sum()) if self.bits else float("nan")

    @property
    def stream_lag1(self) -> float:
        """Lag-1 correlation of the stream: neighbouring cells, mostly."""
        return float(self.stream_pairs.correlation)


@takes(max_blocks=Count(1))
def cell_statistics(
    store: "Store", buffers: Iterable[str] | None = None, max_blocks: int | None = None
) -> CellStatistics:
    """Count ones and lag-1 pairs of every cell and of the stream, over raw bits.

    `buffers`: buffer uuids of one array (default: all of the store); `max_blocks`: of these, blocks spread
    evenly over them (default: all). Raises StoreError where the buffers have different numbers of cells,
    there is no block, or one is damaged.
    """
    chosen = [info.uuid for info in store.buffers()] if buffers is None else list(buffers)
    places = [(buffer, index) for buffer in chosen for index in range(len(store.rows(buffer)))]
    if not places:
        raise StoreError(f"{store.path} has no blocks to take statistics of: record first")
    if max_blocks is not None and max_blocks < len(places):
        places = [
            places[i] for i in np.unique(np.linspace(0, len(places) - 1, max_blocks).round().astype(int))
        ]
    cells = store.cells(chosen[0])
    sums = np.zeros((6, len(cells)), np.int64)
    stream = np.zeros(4, np.int64)
    bits = 0
    for buffer, index in places:
        row = store.rows(buffer)[index]
        if len(store.cells(buffer)) != len(cells):
            raise StoreError(f"buffer {buffer} has other cells than {chosen[0]}: choose buffers of one array")
        data, valid = store.read_block(buffer, index)
        _add_block(sums, data, valid, int(row["positions"]))
        stream += _stream_sums(data, int(row["bits"]))
        bits += int(row["bits"])
    return CellStatistics(
        cells, sums[0], sums[1], PairSums(*sums[2:]), PairSums(*stream), blocks=len(places), bits=bits
    )


def _add_block(sums: np.ndarray, data: np.ndarray, valid: np.ndarray | None, positions: int) -> None:
    """Add a block's (ones, counts, pairs, first, second, both) per cell."""
    from .cell_counts import count_cells, count_pairs  # compiled

    cells = sums.shape[1]
    if valid is not None:
        data = np.packbits(in_place(data, np.unpackbits(valid, count=positions)))
    counts = count_cells(data, valid, cells, positions // cells)
    pairs = count_pairs(data, valid, cells, positions // cells)
    sums += np.stack([counts.ones, counts.usable, pairs.pairs, pairs.first, pairs.second, pairs.both])


def _stream_sums(data: np.ndarray, bits: int) -> np.ndarray:
    if bits < 2:
        return np.zeros(4, np.int64)
    ones = count_ones(np.ascontiguousarray(data))
    shifted = data << np.uint8(1)
    shifted[:-1] |= data[1:] >> np.uint8(7)
    both = count_ones(data & shifted)
    first, last = int(data[0] >> 7), int(data[(bits - 1) // 8] >> 7 - (bits - 1) % 8) & 1
    return np.array([bits - 1, ones - last, ones - first, both], np.int64)
