"""Who says whether the owner of a lease, a request or a recording is alive."""

from typing import Literal, Protocol

Owner = Literal["lease", "request", "writer"]  # of what, by its uuid


class Mark(Protocol):
    """Shows that an owner lives: until it is released or collected, or the owner's process ends."""

    def release(self, *, remove: bool = False) -> None:
        """Show it no more; with `remove` nobody will ask again. Harmless when repeated."""
        ...


class Liveness(Protocol):
    """Tells a dead owner from a slow one; `str()` says where it looks, for messages.

    File locks do it on one computer (`FileLocks`). Whatever does it must never call an owner dead that may still read,
    since what a dead one had leased is burned, and what it was promised goes to others.
    """

    def hold(self, kind: Owner, name: str) -> Mark:
        """Show from now on that an owner lives; raises OSError where that cannot be."""
        ...

    def is_dead(self, kind: Owner, name: str) -> bool:
        """Whether nobody holds the mark of an owner, also where there never was one."""
        ...

    def forget(self, kind: Owner, name: str) -> None:
        """Take away what a dead owner left."""
        ...

    def sweep(self) -> None:
        """Take away what all dead owners left."""
        ...
