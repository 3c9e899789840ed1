"""Large reads of a lease, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sampler.sources._conditioning import entropy_errors
from sampler.sources._source import Packed

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Piece


WORD = 32  # bits of one draw
_PART_BITS = 1 << 23  # recorded bits that are looked at together: about a block


def parts(conditioning: Conditioning, lease: Lease, bits: int) -> Iterator[Packed]:
    """Give `bits` bits, whole words, block by block: a piece that stands on whole bytes is not copied."""
    word = conditioning.bits_in(WORD)
    at_once = max(_PART_BITS // word, 1) * WORD
    for start in range(0, bits, at_once):
        part = min(at_once, bits - start)
        with entropy_errors():
            pieces = lease.read_pieces(conditioning.bits_in(part))
        cut = any(count % word for _, _, count in pieces)  # a group of words goes on in the next block
        groups = [pieces] if cut else [[piece] for piece in pieces]
        for group in groups:
            yield _view(group[0]) if _is_plain(group, conditioning) else _condition(group, conditioning)


def _is_plain(group: list[Piece], conditioning: Conditioning) -> bool:
    return conditioning.name == "none" and len(group) == 1 and group[0][1] % 8 == 0


def _view(piece: Piece) -> Packed:
    block, first, bits = piece
    return block.data[first // 8 : (first + bits) // 8]


def _condition(group: list[Piece], conditioning: Conditioning) -> Packed:
    held = _Pieces(group)
    with entropy_errors():
        return conditioning.read(held, held.remaining // conditioning.bits_in(WORD) * WORD)


class _Pieces:
    """Pieces of a lease that were read already, on their way through a conditioning."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self.remaining = sum(count for _, _, count in pieces)

    def read_pieces(self, bits: int) -> list[Piece]:
        """Give all of them."""
        assert bits == self.remaining
        self.remaining = 0
        return self._pieces

    def read(self, bits: int) -> Packed:
        """Give all of their bits, packed."""
        from entropy import gather

        return gather(self.read_pieces(bits), bits)
