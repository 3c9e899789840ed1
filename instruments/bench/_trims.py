"""Trims of the write pulse, and the tables in which a board keeps them."""

from dataclasses import dataclass, fields

import numpy as np

from drivers import ArrayBoard

_SHORTEST = 2e-12  # s; a board's pulse is at least half as wide


@dataclass(frozen=True, eq=False)
class Trims:
    """What each cell's write pulse has more than the common one, by the state that it starts from.

    Volts at the device and seconds, each (rows, columns) or one value for all.
    """

    voltage_p: np.ndarray | float = 0.0
    width_p: np.ndarray | float = 0.0
    voltage_ap: np.ndarray | float = 0.0
    width_ap: np.ndarray | float = 0.0

    def shaped(self, cells: int, shape: tuple[int, ...]) -> "Trims":
        """Give those of an array, (cells,) or one value for all, as a board of that shape takes them."""
        return Trims(*(np.broadcast_to(each, cells).reshape(shape) for each in self._all()))

    def stacked(self, shape: tuple[int, int]) -> np.ndarray:
        """Give volts and seconds, each from P and from AP, as float64 of that shape, (2, 2, rows, columns).

        Raises ValueError where one is no such table, or of no numbers.
        """
        tables = [
            _for_each_cell(name.name, each, shape)
            for name, each in zip(fields(self), self._all(), strict=True)
        ]
        return np.stack(tables).reshape(2, 2, *shape).swapaxes(0, 1)

    def _all(self) -> "tuple[np.ndarray | float, ...]":
        return self.voltage_p, self.width_p, self.voltage_ap, self.width_ap


def _for_each_cell(name: str, values: np.ndarray | float, shape: tuple[int, int]) -> np.ndarray:
    values = np.asarray(values)
    fits = values.dtype.kind in "iuf" and values.shape in ((), (1, 1), shape)
    if not fits or not np.isfinite(values).all():
        raise ValueError(
            f"{name} of the trims is one finite number, or one for each of {shape[0]} × {shape[1]} cells"
        )
    return np.broadcast_to(values.astype(float), shape)


class TrimTables:
    """The four tables of one board, at its output: volts and seconds for both directions, and those for AP beyond them.

    Only what differs from what was sent before is sent.
    """

    def __init__(self, board: ArrayBoard) -> None:
        self._board = board
        self._sent: dict[str, np.ndarray] = {}  # where they are not 0

    def forget(self) -> None:
        """Note that the board was reset: all its trims are 0."""
        self._sent.clear()

    def send_voltages(self, both: np.ndarray, beyond: np.ndarray, common: float, limit: float) -> int:
        """Set the volts for both directions and for AP beyond them, of pulses of `common` volts; counts commands."""
        return self._send_pair("trims", "antiparallel_trims", both, beyond, common, -np.inf, limit)

    def send_widths(self, both: np.ndarray, beyond: np.ndarray, common: float, limit: float) -> int:
        """Set the seconds likewise."""
        return self._send_pair(
            "width_trims", "antiparallel_width_trims", both, beyond, common, _SHORTEST, limit
        )

    def _send_pair(
        self, name: str, name_beyond: str, both: np.ndarray, beyond: np.ndarray,
        common: float, least: float, most: float,
    ) -> int:  # fmt: skip
        commands = 0
        # What was added to pulses from AP so far must not take the new trims out of the board's range on the way.
        between = common + both + self._sent.get(name_beyond, 0.0)
        if np.abs(between).max() > most * (1 - 1e-6) or np.min(between) < least:
            commands += self._send(name_beyond, np.zeros_like(both))
        return commands + self._send(name, both) + self._send(name_beyond, beyond)

    def _send(self, name: str, values: np.ndarray) -> int:
        values = values.astype(np.float32)
        if np.array_equal(values, self._sent.get(name, np.zeros_like(values))):
            return 0
        setattr(self._board, name, values)
        self._sent[name] = values
        return 1
