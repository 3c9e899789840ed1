"""Where every bit is: the accounts of a ledger, and the verdicts that withhold bits and release them."""

from dataclasses import dataclass

from ._range_table import BURNED, CONSUMED, FREE, LEASED, WITHHELD, repaint_inside, total
from ._ranges import Range
from ._transaction import Transaction, changes, now, reads


@dataclass(frozen=True)
class Accounts:
    """Where every recorded usable bit is; all in bits. `recorded` is summed apart from the other five."""

    recorded: int
    free: int
    leased: int
    consumed: int
    burned: int
    withheld: int

    @property
    def balanced(self) -> bool:
        """Whether recorded = free + leased + consumed + burned + withheld, exactly."""
        return self.recorded == self.free + self.leased + self.consumed + self.burned + self.withheld


@reads
def accounts(transaction: Transaction) -> Accounts:
    """Sum the block rows and, apart from them, the ranges of each state, at one moment."""
    recorded = transaction.db.execute("SELECT COALESCE(SUM(bits), 0) FROM blocks").fetchone()[0]
    sums = dict(transaction.db.execute("SELECT state, SUM(bits) FROM ranges GROUP BY state").fetchall())
    states = (sums.get(state, 0) for state in (FREE, LEASED, CONSUMED, BURNED, WITHHELD))
    return Accounts(int(recorded), *(int(bits) for bits in states))


@reads
def free(transaction: Transaction) -> int:
    """Sum the free bits alone, which costs the same however long the store is."""
    return total(transaction.db, FREE)


@reads
def free_stretches(transaction: Transaction) -> list[Range]:
    """Give the longest free stretch of each buffer that was not pruned."""
    # of the row with the greatest MAX, SQLite gives the other columns too
    rows = transaction.db.execute(
        "SELECT b.uuid, r.first, MAX(r.bits) FROM ranges AS r JOIN buffers AS b ON b.id = r.buffer "
        "WHERE r.state = ? AND b.place IS NULL GROUP BY r.buffer ORDER BY r.buffer",
        (FREE,),
    ).fetchall()
    return [Range(*row) for row in rows]


@reads
def sums_of(transaction: Transaction, buffer: int) -> dict[str, int]:
    """Sum a buffer's bits by state; states without a bit are left out."""
    return dict(
        transaction.db.execute(
            "SELECT state, SUM(bits) FROM ranges WHERE buffer = ? GROUP BY state", (buffer,)
        ).fetchall()
    )


@reads
def ranges(transaction: Transaction, buffer: int) -> list[tuple[int, int, str]]:
    """List a buffer's (first bit, bits, state) in the order of bits."""
    return transaction.db.execute(
        "SELECT first, bits, state FROM ranges WHERE buffer = ? ORDER BY first", (buffer,)
    ).fetchall()


@changes()
def withhold(transaction: Transaction, buffer: int, first: int, bits: int, verdict: str) -> int:
    """Withhold the free bits of a range; returns how many there were."""
    return _judge(transaction, (buffer, first, bits), FREE, WITHHELD, verdict)


@changes()
def release(transaction: Transaction, buffer: int, first: int, bits: int, verdict: str) -> int:
    """Make the withheld bits of a range free again; returns how many there were."""
    return _judge(transaction, (buffer, first, bits), WITHHELD, FREE, verdict)


def _judge(
    transaction: Transaction, stretch: tuple[int, int, int], was: str, state: str, verdict: str
) -> int:
    changed = repaint_inside(transaction.db, stretch, was, state)
    transaction.db.execute(
        "INSERT INTO verdicts (time, buffer, first, bits, verdict) VALUES (?, ?, ?, ?, ?)",
        (now(), *stretch, verdict),
    )
    return changed
