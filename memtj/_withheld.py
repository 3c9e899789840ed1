"""Why a store holds bits back, in words: for a sentence that says that there are too few."""

import contextlib
from collections.abc import Iterator

import entropy
from memtj._errors import CommandError


@contextlib.contextmanager
def withheld_bits_named(store: "entropy.Store") -> Iterator[None]:
    """Add to NotEnoughBits, where the store withholds bits, how many and why; as a CommandError then."""
    try:
        yield
    except entropy.NotAssessed:
        raise
    except entropy.NotEnoughBits as error:
        reason = _reason(store)
        if not reason:
            raise
        raise CommandError(f"{error}; {reason}.") from error


def _reason(store: "entropy.Store") -> str:
    from entropy.quality.health import HealthFlag

    withheld = store.accounts().withheld
    if not withheld:
        return ""
    blocks = bits = flags = 0
    for buffer in store.buffers():
        if buffer.place is None:
            rows = store.rows(buffer.uuid)
            failed = rows[rows["health"] != 0]
            blocks, bits = blocks + len(failed), bits + int(failed["bits"].sum())
            for flag in failed["health"]:
                flags |= int(flag)
    tests = ", ".join(str(flag.name).lower().replace("_", " ") for flag in HealthFlag(flags))
    why = f"their raw bits failed health tests in {blocks:,} blocks ({tests})" if blocks else ""
    verdict = "a verdict holds them back" if bits < withheld else ""
    return (
        f"{withheld:,} more are withheld, because {' and '.join(part for part in (why, verdict) if part)}: "
        f"'memtj assess {store.path}' shows what is wrong; tune the array ('memtj tune') and record again"
    )
