"""Faults put into `entropy` on purpose, to see that the checks find them."""

import sqlite3
from typing import Any

import numpy as np

from entropy.buffer import _writer
from entropy.ledger import _leases, _ledger, _range_table
from entropy.ledger._transaction import Transaction


def row_before_bits() -> None:
    """Write a block's row before its bits."""
    append = _writer.BufferWriter.append

    def reordered(
        self: _writer.BufferWriter, bits: np.ndarray, valid: np.ndarray | None, row: np.ndarray
    ) -> None:
        data, at = self._data, self.bytes
        self._data = _Nowhere()  # type: ignore[assignment]
        append(self, bits, valid, row)
        self._data = data
        data.write(at, bits)
        self._file.flush()

    _writer.BufferWriter.append = reordered


class _Nowhere:
    def write(self, at: int, values: np.ndarray) -> None:
        pass


def lease_before_commit() -> None:
    """Let the COMMIT of a lease wait for the next statement, so that bits leave before it is on the disk."""
    sqlite3.connect = _connect_lazily  # type: ignore[assignment]


class _Lazy(sqlite3.Connection):
    _leases = _waits = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if self._waits:
            self._leases = self._waits = False
            super().execute("COMMIT")
        self._leases |= sql.startswith("INSERT INTO leases")
        if sql == "COMMIT" and self._leases:
            self._waits = True
            return self.cursor()
        return super().execute(sql, *parameters)


_connect = sqlite3.connect


def _connect_lazily(*arguments: Any, **more: Any) -> sqlite3.Connection:
    return _connect(*arguments, factory=_Lazy, **more)


def dead_leases_free() -> None:
    """Give back what a dead owner had leased, although he may have read it."""
    forget = _leases.forget_dead

    def generous(transaction: Transaction) -> None:
        burned, _range_table.BURNED = _range_table.BURNED, _range_table.FREE
        try:
            forget(transaction)
        finally:
            _range_table.BURNED = burned

    _leases.forget_dead = _ledger.forget_dead = generous


ALL = {
    "row-before-bits": row_before_bits,
    "lease-before-commit": lease_before_commit,
    "dead-leases-free": dead_leases_free,
}


def apply(name: str) -> None:
    """Put a fault into this process."""
    ALL[name]()
