"""What an assessment lets a reader of a store claim: it is noted in the ledger, buffer by buffer."""

from ._assess import Assessment
from ._subject import StoreSubject


def credit(found: Assessment, subject: StoreSubject) -> dict[str, float]:
    """Credit the buffers of a store with what their bits were found to be worth; gives that by the buffer's uuid.

    A buffer gets what the whole was assessed at (3.1.3, after the restart tests), or less where a window that lies
    in it, and is as long as what the estimators saw, was worth less.
    """
    worth = dict.fromkeys(subject.buffers, found.assessed)
    for window in found.windows:
        if window.bits < found.bits:
            continue
        for buffer in subject.buffers_of(window.first_bit, window.bits):
            worth[buffer] = min(worth[buffer], window.min_entropy.assessed)
    basis = f"memtj assess: ten estimators of SP 800-90B over {found.bits:,} bits, cells and windows"
    for buffer, min_entropy in worth.items():
        subject.store.credit(buffer, min_entropy, bits=found.bits, basis=basis)
    return worth
