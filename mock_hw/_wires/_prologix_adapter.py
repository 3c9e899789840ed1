"""What a Prologix adapter does with a line: its commands, and what goes to the box that is addressed."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ._box import CHUNK
from ._exchange import Exchange

log = logging.getLogger(__name__)

VERSION = b"Prologix GPIB-ETHERNET Controller version 01.06.06.00"
ADDRESSES = range(31)
_SECONDARY = range(96, 127)
_MOST_TRIGGERED = 15
_SERVICE = 64  # bit of a status byte: the box wants service
_ENDS = (b"\r\n", b"\r", b"\n", b"")  # that `eos` appends
_RANGES = {
    "mode": range(2), "auto": range(2), "eoi": range(2), "eos": range(4), "eot_enable": range(2),
    "eot_char": range(256), "read_tmo_ms": range(1, 3001), "savecfg": range(2),
}  # fmt: skip

Gone = Callable[[], bool]


@dataclass(frozen=True)
class Settings:
    """What the adapter's commands set; the values to begin with are our own choice."""

    addr: tuple[int, ...] = (0,)
    mode: int = 1
    auto: int = 0
    eoi: int = 1
    eos: int = 0
    eot_enable: int = 0
    eot_char: int = 0
    read_tmo_ms: int = 500
    savecfg: int = 1


class _Unknown(Exception):
    """No command of the adapter, or not with these parameters."""


class Adapter:
    """Acts on lines, by what its commands have set before, whoever has sent them; `patience`: s for a box to listen.

    Raises ConnectionAbortedError where a command ends the connection.
    """

    def __init__(self, boxes: Mapping[int, Exchange], patience: float) -> None:
        self._boxes = boxes
        self._patience = patience
        self._now = self._saved = Settings()
        self._commands: dict[str, Callable[[list[int]], bytes]] = {
            "addr": self._address,
            "clr": self._clear,
            "ifc": _nothing,
            "llo": _nothing,
            "loc": _nothing,
            "rst": self._reset,
            "spoll": self._poll,
            "srq": self._look_for_service,
            "ver": lambda given: VERSION,
        }

    def obey(self, line: bytes, gone: Gone) -> Iterator[bytes]:
        """Act on a command, and give what it answers."""
        name, *words = line.decode("ascii", "replace").lower().split() or [""]
        try:
            if name == "read":
                yield from self._read(words, gone)
                return
            given = [_number(word, range(10_000)) for word in words]
            if name == "trg":
                self._trigger(given, gone)
                return
            answer = self._set(name, given) if name in _RANGES else self._command(name)(given)
        except _Unknown:
            answer = b"Unrecognized command"
        if answer:
            yield answer + b"\r\n"

    def pass_on(self, line: bytes, gone: Gone) -> Iterator[bytes]:
        """Send a line to the box that is addressed, and give what is read behind it where `auto` says so."""
        box = self._addressed
        if box is None:
            log.info("a line for a box at %s, where there is none", self._now.addr)
            return
        message = line + _ENDS[self._now.eos]
        for start in range(0, len(message), CHUNK):
            last = start + CHUNK >= len(message)
            end = last and bool(self._now.eoi)
            if not box.write(message[start : start + CHUNK], end, self._patience, gone):
                log.warning("the box at %s does not listen: a line is lost", self._now.addr)
                return
        if self._now.auto:
            yield from self._read(["eoi"], gone)

    @property
    def _addressed(self) -> Exchange | None:
        return self._at(self._now.addr) if self._now.mode else None

    def _at(self, address: tuple[int, ...]) -> Exchange | None:
        return self._boxes.get(address[0]) if len(address) == 1 else None

    def _command(self, name: str) -> Callable[[list[int]], bytes]:
        if name not in self._commands:
            raise _Unknown
        return self._commands[name]

    def _set(self, name: str, given: list[int]) -> bytes:
        if not given:
            return str(getattr(self._now, name)).encode()
        if len(given) > 1 or given[0] not in _RANGES[name]:
            raise _Unknown
        return self._change(replace(self._now, **{name: given[0]}))

    def _change(self, settings: Settings) -> bytes:
        self._now = settings
        if settings.savecfg:
            self._saved = settings
        return b""

    def _address(self, given: list[int]) -> bytes:
        if not given:
            return " ".join(str(each) for each in self._now.addr).encode()
        return self._change(replace(self._now, addr=_address(given)))

    def _reset(self, given: list[int]) -> bytes:
        self._now = self._saved
        raise ConnectionAbortedError("the adapter is reset")

    def _clear(self, given: list[int]) -> bytes:
        if (box := self._addressed) is not None:
            box.clear()
        return b""

    def _poll(self, given: list[int]) -> bytes:
        box = self._at(_address(given)) if given else self._addressed
        return str(0 if box is None else box.status_byte()).encode()

    def _look_for_service(self, given: list[int]) -> bytes:
        return b"1" if any(box.status_byte() & _SERVICE for box in self._boxes.values()) else b"0"

    def _trigger(self, given: list[int], gone: Gone) -> None:
        if len(given) > _MOST_TRIGGERED:
            raise _Unknown
        for address in given or [self._now.addr[0]]:
            box = self._at(_address([address]))
            if box is not None and not box.trigger(self._patience, gone):
                log.warning("the box at %d does not listen: a trigger is lost", address)

    def _read(self, words: list[str], gone: Gone) -> Iterator[bytes]:
        """What the box says, to the end of its message or a character, or until nothing more comes in time."""
        if len(words) > 1:
            raise _Unknown
        stop = b"" if words in ([], ["eoi"]) else bytes([_number(words[0], range(256))])
        box = self._addressed
        if box is None:
            time.sleep(self._now.read_tmo_ms / 1000)
            return
        while (got := box.read(CHUNK, stop, self._now.read_tmo_ms / 1000, gone)) is not None:
            data, ended = got
            yield data
            if ended and self._now.eot_enable:
                yield bytes([self._now.eot_char])
            if ended or (stop and data.endswith(stop)):
                return


def _nothing(given: list[int]) -> bytes:
    return b""


def _number(word: str, within: range) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 9 and int(word) in within):
        raise _Unknown
    return int(word)


def _address(given: list[int]) -> tuple[int, ...]:
    if len(given) > 2 or given[0] not in ADDRESSES or any(each not in _SECONDARY for each in given[1:]):
        raise _Unknown
    return tuple(given)
