"""A look at a buffer's metadata before HDF5 sees them: numbers that HDF5 trusts, and may crash on.

A checksum shows what an accident did to metadata, not what somebody made on purpose: libhdf5 divides by and
allocates from numbers of a B-tree, a heap or an index without holding them against the file. Those numbers are
the same in every buffer, since HDF5 has them built in. References: HDF5 file format specification 3.0, III.A.2
(version 2 B-trees), III.G (fractal heap), IV.A (object headers), VII.C (extensible array).
"""

from collections.abc import Iterator

from .._errors import StoreError
from ._view import FileView

_UNDEFINED = (1 << 64) - 1
_LINK_INFO, _LAYOUT, _LINK, _CONTINUED, _ATTRIBUTES = 0x02, 0x08, 0x06, 0x10, 0x15
_MOST_HEADER_BYTES = 1 << 16
_MOST_PARTS = 64  # continuations of one header

# Everything of a header between its signature and its counts, as libhdf5 writes it.
_NAMES_TREE = b"\x00\x08" + (512).to_bytes(4, "little") + (17).to_bytes(2, "little") + bytes(2) + b"\x64\x28"
_HUGE_TREE = b"\x00\x01" + (512).to_bytes(4, "little") + (24).to_bytes(2, "little") + bytes(2) + b"\x64\x28"
_HEAP_BEGIN = b"\x00\x08\x00\x00\x00\x02" + (4096).to_bytes(4, "little")
_HEAP_TABLE = (
    (4).to_bytes(2, "little")
    + (1024).to_bytes(8, "little")
    + (65536).to_bytes(8, "little")
    + b"\x28\x00\x01\x00"
)
_ARRAY_BEGIN = b"\x00\x00\x08\x20\x04\x10\x04\x0a"
_ARRAY_INDEX = b"\x04\x20\x04\x04\x10\x0a"


def refuse_odd_metadata(view: FileView, names: frozenset[str]) -> frozenset[str]:
    """Raise StoreError where metadata hold numbers that HDF5 itself never writes.

    Gives which of the datasets `names` are indexed as a buffer's chunked datasets are.
    """
    indexed = set()
    for kind, data in _messages(view, int.from_bytes(view.bytes_at(36, 8), "little")):
        if kind == _ATTRIBUTES:
            _check_attributes(view, data)
        elif kind == _LINK_INFO and _number(data, 2 + 8 * (data[1] & 1)) != _UNDEFINED:
            raise _odd(view, "it has more objects than any buffer")
        elif kind == _LINK:
            name, address = _link(data)
            if address is not None and name in names and _check_dataset(view, address):
                indexed.add(name)
    return frozenset(indexed)


def _check_dataset(view: FileView, address: int) -> bool:
    indexed = False
    for kind, data in _messages(view, address):
        if kind == _ATTRIBUTES:
            _check_attributes(view, data)
        elif kind == _LAYOUT and len(data) > 6 and data[0] >= 4 and data[1] == 2:
            index = 5 + data[3] * data[4]  # after the sizes of the chunks
            if data[index : index + 6] == _ARRAY_INDEX:
                _check_array(view, _number(data, index + 6))
                indexed = True
    return indexed


def _messages(view: FileView, address: int) -> Iterator[tuple[int, bytes]]:
    """Give the (type, content) of the messages of a version 2 object header."""
    head = view.bytes_at(address, 64)
    if head[:5] != b"OHDR\x02" or len(head) < 64:
        raise _odd(view, f"there is no object of its format at byte {address:,}")
    flags = head[5]
    begin = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(head[begin : begin + width], "little")
    parts = [(address + begin + width, size)]
    for at, size in parts:
        if size > _MOST_HEADER_BYTES or len(parts) > _MOST_PARTS:
            raise _odd(view, f"the header at byte {address:,} is too long")
        data = view.bytes_at(at, size)
        place, step = 0, 6 if flags & 4 else 4
        while place + step <= len(data):
            length = int.from_bytes(data[place + 1 : place + 3], "little")
            content = data[place + step : place + step + length]
            if len(content) < length:
                raise _odd(view, f"a message of the header at byte {address:,} is cut short")
            if data[place] == _CONTINUED:
                parts.append((_number(content, 0) + 4, _number(content, 8) - 8))
            yield data[place], content
            place += step + length


def _link(data: bytes) -> tuple[str, int | None]:
    """Give the name of a link message and the address it leads to; None where it is no hard link."""
    flags = data[1] if len(data) > 1 else 0
    at = 2
    hard = not flags & 8 or data[at : at + 1] == b"\0"
    at += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[at : at + width], "little")
    name = data[at + width : at + width + length].decode("utf-8", "replace")
    return name, _number(data, at + width + length) if hard else None


def _check_attributes(view: FileView, data: bytes) -> None:
    at = 2 + 2 * (data[1] & 1)
    heap, tree = _number(data, at), _number(data, at + 8)
    if heap == _UNDEFINED:
        return
    head = view.bytes_at(heap, 146)
    if head[:4] != b"FRHP" or head[4:14] != _HEAP_BEGIN or head[110:132] != _HEAP_TABLE:
        raise _odd(view, "the heap of its attributes is not as HDF5 makes it")
    managed, rows = _number(head, 46), int.from_bytes(head[140:142], "little")
    if managed > view.size or rows > 32:
        raise _odd(view, "the heap of its attributes is larger than the file")
    for record in _records(view, tree, _NAMES_TREE, 17):
        offset, length = int.from_bytes(record[1:6], "little"), int.from_bytes(record[6:8], "little")
        if record[0] not in (0, 0x10) or record[8]:
            raise _odd(view, "one of its attributes is not kept as a buffer's are")
        if record[0] == 0 and (length < 16 or offset + length > managed):
            raise _odd(view, "one of its attributes lies outside their heap")
    huge = _number(head, 22)
    if huge != _UNDEFINED:
        for record in _records(view, huge, _HUGE_TREE, 24):
            if _number(record, 0) + _number(record, 8) > view.size:
                raise _odd(view, "one of its attributes ends beyond the file")


def _records(view: FileView, address: int, constants: bytes, size: int) -> Iterator[bytes]:
    """Give the records of a B-tree of one leaf."""
    head = view.bytes_at(address, 38)
    if head[:4] != b"BTHD" or head[4:16] != constants:
        raise _odd(view, "the list of its attributes is not as HDF5 makes it, or longer than any buffer's")
    root, count, total = _number(head, 16), int.from_bytes(head[24:26], "little"), _number(head, 26)
    if count != total or count > (512 - 10) // size:
        raise _odd(view, "the list of its attributes does not add up")
    if not count:
        return
    leaf = view.bytes_at(root, 512)
    if leaf[:6] != b"BTLF" + constants[:2] or len(leaf) < 6 + count * size:
        raise _odd(view, "the list of its attributes is not where it is said to be")
    for index in range(count):
        yield leaf[6 + index * size : 6 + (index + 1) * size]


def _check_array(view: FileView, address: int) -> None:
    if address == _UNDEFINED:
        return
    head = view.bytes_at(address, 72)
    if head[:4] != b"EAHD" or head[4:12] != _ARRAY_BEGIN:
        raise _odd(view, "the index of its chunks is not as HDF5 makes it")
    if any(_number(head, at) > view.size for at in range(12, 60, 8)) or _number(head, 60) > view.size:
        raise _odd(view, "the index of its chunks is larger than the file")


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little") if len(data) >= at + 8 else _UNDEFINED


def _odd(view: FileView, sentence: str) -> StoreError:
    return StoreError(f"{view.path} is damaged or no buffer: {sentence}; restore it from a copy")
