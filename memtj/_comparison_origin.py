"""Where a comparison comes from: the command that makes it, and whether its array is a simulated one."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from memtj._errors import CommandError

if TYPE_CHECKING:
    from entropy import Store

_FILE = "origin.json"


@dataclass(frozen=True)
class Origin:
    """The command line that repeats a comparison ("" where none is known), and whether any of its array's bits are a
    simulation's (None where that is not known).
    """

    command: str = ""
    simulated: bool | None = None

    def again(self, command: str, stores: "Iterable[Store]") -> Self:
        """The origin after one more call with these stores: once simulated, always so."""
        kinds = {self.simulated, *(buffer.simulated for store in stores for buffer in store.buffers())} - {
            None
        }
        return type(self)(command, any(kinds) if kinds else None)

    def write(self, folder: Path) -> None:
        """Keep it in the comparison's folder."""
        from sampler import write_whole

        write_whole(folder / _FILE, (json.dumps(asdict(self), indent=1) + "\n").encode())


def begun_with(folder: Path) -> Origin:
    """What the comparison in a folder says of its origin; raises CommandError where that cannot be read."""
    path = folder / _FILE
    try:
        return Origin(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Origin()
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"{path} cannot be read ({error}): remove it, and it is written again.") from None
