"""Opening a buffer file without trusting it: what no buffer has, in names, types, layouts or sizes, is refused."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import h5py.h5a
import h5py.h5l
import h5py.h5o
import numpy as np

from .._errors import StoreError
from ._format import (
    ACTION_DTYPE,
    BIT_ORDER,
    BLOCK_DTYPE,
    CELL_DTYPE,
    DRAWS_VERSION,
    FORMAT,
    FORMAT_VERSION,
    TUNING_DTYPE,
)
from ._metadata import refuse_odd_metadata
from ._view import FileView

_T = TypeVar("_T")

_READ_VERSIONS = (1, FORMAT_VERSION, DRAWS_VERSION)
# Datasets and attributes that a file of an earlier version has by chance only.
_LATER = {1: frozenset({"tuning", "actions", "commanded"}), 2: frozenset({"commanded"})}
# The rows come first: a live file has the bits of every row, and may have more of them a moment later.
_KINDS = {
    name: h5py.h5t.py_create(np.dtype(kind), logical=True)
    for name, kind in {
        "blocks": BLOCK_DTYPE, "bits": "u1", "valid": "u1", "cells": CELL_DTYPE, "resistances": "<u2",
        "tuning": TUNING_DTYPE, "actions": ACTION_DTYPE, "commanded": "<u2",
    }.items()
}  # fmt: skip
_OPTIONAL = frozenset({"resistances", "tuning", "actions", "commanded"})
_WHOLE = frozenset({"cells", "tuning"})  # not chunked; all others are
_READ_IN_BLOCKS = frozenset(
    {"blocks", "bits", "valid", "actions", "commanded"}
)  # so that part of a file that was cut short can be read
_ADDRESS = 8  # bytes that the index of a dataset needs for each chunk
_TEXTS = (
    "buffer",
    "recording",
    "created",
    "conditioning",
    "bit_order",
    "bench",
    "procedure",
    "device",
    "software",
)
_OPTIONAL_TEXTS = ("salvaged", "tuning")
_NUMBERS = ("segment", "complete", "simulated", "cells_per_pulse")

# What a buffer may ask of its reader's memory.
_CHUNK_BYTES = (1 << 10, 1 << 24)
_MOST_CELLS = 1 << 24
_LONGEST_TEXT = 1 << 24

_NEWEST_TYPE = 3  # of the versions of a datatype message, that HDF5 1.10 reads

_LOOKS = (0.001, 0.002, 0.004)  # s between them: one look may come upon the middle of a write


@dataclass(frozen=True)
class Attributes:
    """The attributes of a buffer that this program knows, checked: `texts` and `numbers` by their names.

    `datasets`: those that the buffer has.
    """

    texts: dict[str, str]
    numbers: dict[str, int]
    datasets: frozenset[str]


def open_buffer(path: Path) -> h5py.File:
    """Open a buffer for reading, live or left behind as well, after refusing anything that is not one.

    It shows the file as it is at this moment; open it again to see more of a live one. Raises StoreError where
    the file is missing, damaged, of another format or version, or holds links, types, layouts or sizes that no
    buffer has: reading such things could run, read or allocate what it should not.
    """
    return open_view(FileView(path))[0]


def open_view(view: FileView, texts: dict[str, str] | None = None) -> tuple[h5py.File, Attributes]:
    """Open the buffer that a view shows, as it is by now; raises as `open_buffer` does.

    `texts`: of the attributes, as an earlier opening of the same view gave them; nothing changes them, so they are
    not read again.
    """
    return look_again(view, lambda: _open_once(view, texts))


def look_again(view: FileView, look: Callable[[], _T]) -> _T:
    """Give what a look at the file gives; where it fails while the file is being written, that of a few more."""
    for pause in _LOOKS:
        try:
            return look()
        except StoreError:
            if not view.being_written:
                raise
            time.sleep(pause)
    return look()


def _open_once(view: FileView, texts: dict[str, str] | None) -> tuple[h5py.File, Attributes]:
    view.look()
    indexed = refuse_odd_metadata(view, frozenset(_KINDS))
    try:
        file = h5py.File(view, "r")
    except HDF5_ERRORS as error:
        raise StoreError(
            f"{view.path} cannot be opened as a buffer: {reason(error)}; restore it from a copy"
        ) from None
    try:
        return file, _refuse_foreign(view, file, indexed, texts)
    except BaseException as error:
        file.close()
        if not isinstance(error, HDF5_ERRORS):
            raise
        raise StoreError(f"{view.path} is damaged: {reason(error)}; restore it from a copy") from None


def unknown_names(file: Any) -> list[str]:
    """List the datasets, groups and attributes of an opened buffer that this program does not know."""
    later = _LATER.get(int(file.attrs["format_version"]), frozenset[str]())
    attributes = {"format", "format_version", *_TEXTS, *_OPTIONAL_TEXTS, *_NUMBERS} - later
    found = [f"/{name}" for name in file if name not in _KINDS or name in later]
    found += [f"attribute {name}" for name in file.attrs if name not in attributes]
    for name in _KINDS.keys() & set(file):
        own = {"scale", "room"} if name == "resistances" else set[str]()
        found += [f"attribute {each} of /{name}" for each in file[name].attrs if each not in own]
    return sorted(found)


def readable_everywhere(file: Any) -> bool:
    """Say whether HDF5 1.10 reads the types of an opened buffer, as it does those that `create_buffer` makes."""
    # a type as HDF5 writes it down: the message's number, the version of what follows, then version (high) and class
    encoded = [file[name].id.get_type().encode() for name in _KINDS.keys() & set(file)]
    return all(each[2] >> 4 <= _NEWEST_TYPE for each in encoded)


# What h5py raises for damaged files, as far as it is known.
HDF5_ERRORS = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, NotImplementedError,
)  # fmt: skip


def reason(error: BaseException) -> str:
    """Give the first line of an error's message."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _refuse_foreign(
    view: FileView, file: Any, indexed: frozenset[str], texts: dict[str, str] | None
) -> Attributes:
    """Raise StoreError for what is no buffer; by h5py's low-level calls, which are ten times as fast here."""
    path, root = view.path, file.id
    names = set(file)
    for name in names:
        if root.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5py.h5l.TYPE_HARD:
            raise StoreError(f"{path}: /{name} is a link to elsewhere; buffers hold none, so it is refused")
    if not h5py.h5a.exists(root, b"format") or _text(view, root, "format") != FORMAT:
        raise StoreError(f"{path} is an HDF5 file but no memtj buffer: keep it out of the store")
    version = _number(view, root, "format_version")
    if version not in _READ_VERSIONS:
        raise StoreError(
            f"{path} has buffer format {version} and this program reads "
            f"{', '.join(map(str, _READ_VERSIONS))}: use the memtj that wrote it"
        )
    unknown = _LATER.get(version, frozenset[str]())
    kinds = [name for name in _KINDS if name not in _OPTIONAL or (name in names and name not in unknown)]
    attributes = Attributes(
        texts or _texts(view, root, unknown),
        {name: _number(view, root, name) for name in _NUMBERS},
        frozenset(kinds),
    )
    if (attributes.texts["bit_order"], attributes.texts["conditioning"]) != (BIT_ORDER, "none"):
        raise StoreError(
            f"{path} holds other than raw bits in the order of format {version}, so it is refused: use the "
            "memtj that wrote it"
        )
    objects, sizes = set(), {}
    for name in kinds:
        if name not in names:
            raise StoreError(
                f"{path}: /{name} is missing, so it is no complete buffer; restore it from a copy"
            )
        found = h5py.h5o.open(root, name.encode())
        sizes[name] = _refuse_odd(view, name, found)
        if name not in _WHOLE and name not in indexed:
            raise StoreError(
                f"{path}: the chunks of /{name} are listed otherwise than in a buffer, so it is refused"
            )
        objects.add(h5py.h5o.get_info(found).addr)
    if len(objects) < len(kinds):
        raise StoreError(f"{path}: two names stand for one dataset; buffers have none such, so it is refused")
    for name in _WHOLE & sizes.keys():
        _refuse_odd_cells(view, attributes.numbers["cells_per_pulse"], sizes[name])
    return attributes


def _texts(view: FileView, root: Any, unknown: frozenset[str]) -> dict[str, str]:
    optional = [
        name for name in _OPTIONAL_TEXTS if name not in unknown and h5py.h5a.exists(root, name.encode())
    ]
    return {name: _text(view, root, name) for name in (*_TEXTS, *optional)}


def _refuse_odd(view: FileView, name: str, dataset: Any) -> int:
    """Raise StoreError for a dataset that is not as the format says; gives its length."""
    path = view.path
    if not isinstance(dataset, h5py.h5d.DatasetID):
        raise StoreError(f"{path}: /{name} is missing, so it is no complete buffer; restore it from a copy")
    settings = dataset.get_create_plist()
    layout = settings.get_layout()
    if settings.get_external_count() or settings.get_nfilters() or layout == h5py.h5d.VIRTUAL:
        raise StoreError(
            f"{path}: /{name} is kept outside the file or filtered; no buffer is, so it is refused"
        )
    kind, space = dataset.get_type(), dataset.get_space()
    if kind.committed() or not kind.equal(_KINDS[name]):
        raise StoreError(f"{path}: /{name} holds another type than in a buffer, so it is refused")
    if space.get_simple_extent_type() != h5py.h5s.SIMPLE or space.get_simple_extent_ndims() != 1:
        raise StoreError(f"{path}: /{name} is no list, and in a buffer it is, so it is refused")
    (length,) = space.get_simple_extent_dims()
    size, item = length * kind.get_size(), kind.get_size()
    if (layout == h5py.h5d.CHUNKED) == (name in _WHOLE):
        raise StoreError(
            f"{path}: /{name} is laid out otherwise than in a buffer (chunked or not), so it is refused"
        )
    if name in _READ_IN_BLOCKS:
        chunk = settings.get_chunk()[0] * item
        if not _CHUNK_BYTES[0] <= chunk <= _CHUNK_BYTES[1]:
            raise StoreError(f"{path}: the chunks of /{name} are not of 1 KiB to 16 MiB, so it is refused")
        needed = -(-size // chunk) * _ADDRESS
    else:
        needed = size
    if needed > view.size:
        raise StoreError(
            f"{path}: /{name} says that it has {size:,} bytes, for which a file of {view.size:,} has no room, so it "
            "is damaged; restore it from a copy"
        )
    return length


def _refuse_odd_cells(view: FileView, cells: int, described: int) -> None:
    if not 1 <= cells <= _MOST_CELLS:
        raise StoreError(
            f"{view.path} says that a pulse has {cells:,} cells; 1 to {_MOST_CELLS:,} are possible, so it is refused"
        )
    if described != cells:
        raise StoreError(
            f"{view.path} says that a pulse has {cells:,} cells and describes {described:,}, so it is "
            "damaged; restore it from a copy"
        )


def _attribute(view: FileView, root: Any, name: str) -> Any:
    """Open a scalar attribute of `/` that must be there."""
    if not h5py.h5a.exists(root, name.encode()):
        raise StoreError(
            f"{view.path} has no attribute {name}, so it is no complete buffer; restore it from a copy"
        )
    attribute = h5py.h5a.open(root, name.encode())
    if attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        raise StoreError(
            f"{view.path}: its attribute {name} is no single value; in a buffer it is, so it is refused"
        )
    return attribute


def _text(view: FileView, root: Any, name: str) -> str:
    attribute = _attribute(view, root, name)
    kind = attribute.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str() or kind.committed():
        raise StoreError(f"{view.path}: its attribute {name} is no text of fixed length, so it is refused")
    size = kind.get_size()
    if size > min(view.size, _LONGEST_TEXT):
        raise StoreError(
            f"{view.path}: its attribute {name} is longer than any in a buffer, so it is refused"
        )
    value = np.empty((), f"S{size}")
    attribute.read(value, kind)  # h5py takes longer to work out the type than to read
    return bytes(value[()]).decode("utf-8", "replace")


def _number(view: FileView, root: Any, name: str) -> int:
    attribute = _attribute(view, root, name)
    kind = attribute.get_type()
    if not isinstance(kind, h5py.h5t.TypeIntegerID) or kind.get_size() > 8 or kind.committed():
        raise StoreError(
            f"{view.path}: its attribute {name} is no number, and in a buffer it is, so it is refused"
        )
    value = np.empty((), np.int64)
    attribute.read(value, h5py.h5t.NATIVE_INT64)
    return int(value)
