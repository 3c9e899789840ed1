"""Bits of one junction between a generator and a source-meter: this package beside plain pymeasure procedures.

`python -m benchmarks.classic [--rounds N] [--bits N] [--round-trips MS …]`: a simulated lab in its own process, whose
readings take as long as they would (`--pace real`), behind wires that take so many milliseconds there and back. Both
plain procedures set level and polarity, trigger, wait for the end and read, for reset and write of each bit, at the
shortest integration, without autozero, delay, sleeps or any read-back: "lines" sends a line for each setting, as such
programs do (and waits for acknowledgements of TCP with it), "joined" all of a pulse in one message. All go in turn;
medians, and the ratio of rounds side by side. P is about one half: ours resets after a 1 alone, so P matters.
"""

import argparse
import contextlib
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400

import instruments
from benchmarks._python import python
from instruments import Bench
from instruments.array import WorkingPoint, array_of, blocks_of
from mock_hw.testing import address_of

LAB = """
[lab]
seed = 4
pace = "real"
[junctions.mtj]
device = "B"
[boxes.generator]
kind = "agilent-33500"
junction = "mtj"
[boxes.meter]
kind = "keithley-2400"
junction = "mtj"
leads = 2.0
"""
POINT = WorkingPoint("reset", 0.302, 500e-9, 1.2e-6, -0.335, 500e-9, 0.05, 1e-4)
THRESHOLD = 1600.0  # ohms
EXAMPLE = Path(instruments.__file__).with_name("example_bench_33500_2400.toml")
LINES = {"visa_library": "@py", "read_termination": "\n", "write_termination": "\n", "timeout": 10_000}


def _carry(source: socket.socket, to: socket.socket, seconds: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            time.sleep(seconds)
            to.sendall(data)
    to.close()


@contextlib.contextmanager
def slow_wire(resource: str, seconds: float) -> Iterator[str]:
    """Serve a box over a wire that takes `seconds` each way; gives its resource."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, far = server.accept()[0], socket.create_connection(address_of(resource))
                    for one, other in ((near, far), (far, near)):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        threading.Thread(target=_carry, args=(one, other, seconds), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET" if seconds else resource
        server.shutdown(socket.SHUT_RDWR)


class Plain:
    """What a program of some twenty lines does with pymeasure's classes; volts are those that the boxes show."""

    def __init__(self, generator: str, meter: str, joined: bool) -> None:
        self.joined = joined
        self.generator, self.meter = Agilent33500(generator, **LINES), Keithley2400(meter, **LINES)
        self.generator.write("OUTP:LOAD INF")
        self.generator.write("FUNC PULS;:FUNC:PULS:TRAN 8.4e-9;:FUNC:PULS:WIDT 500e-9;:FUNC:PULS:PER 1.2e-6")
        self.generator.burst_mode, self.generator.burst_ncycles = "TRIG", 1
        self.generator.trigger_source, self.generator.burst_state = "BUS", True
        self.generator.write("VOLT:HIGH 0.01;LOW 0;:FUNC:PULS:TRAN 8.4e-9")
        self.meter.write(":SOUR:VOLT 0.05;:SENS:FUNC 'CURR';:SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-3")
        self.meter.write(":SENS:CURR:NPLC 0.01;:SYST:AZER 0;:SOUR:DEL 0;:OUTP 1")
        self.generator.output = True

    def give(self, volts: float) -> float:
        """One pulse, and the ohms after it."""
        if volts < 0:
            lines = "OUTP:POL INV", f"VOLT:LOW {volts}", "VOLT:HIGH 0"
        else:
            lines = "OUTP:POL NORM", f"VOLT:HIGH {volts}", "VOLT:LOW 0"
        if self.joined:
            self.generator.ask(";:".join(lines) + ";*TRG;*OPC?")
        else:
            for line in lines:
                self.generator.write(line)
            self.generator.trigger()
            self.generator.ask("*OPC?")
        return 0.05 / float(self.meter.ask(":READ?").split(",")[1])

    def record(self, bits: int) -> tuple[float, float]:
        """Give seconds and the fraction of ones."""
        start, ones = time.perf_counter(), 0
        for _ in range(bits):
            self.give((POINT.reset_voltage - 0.05) * 1.02)
            ones += self.give((POINT.voltage - 0.05) * 1.02) > THRESHOLD
        return time.perf_counter() - start, ones / bits

    def close(self) -> None:
        """Switch off."""
        self.generator.output = False
        self.meter.write("OUTP 0")
        for box in (self.generator, self.meter):
            box.ask("*OPC?")
            box.adapter.close()


def plain(generator: str, meter: str, bits: int, joined: bool = False) -> tuple[float, float]:
    """Record by pymeasure alone; gives seconds and the fraction of ones."""
    procedure = Plain(generator, meter, joined)
    try:
        return procedure.record(bits)
    finally:
        procedure.close()


def joined(generator: str, meter: str, bits: int) -> tuple[float, float]:
    """Record by pymeasure alone, a message a pulse; gives seconds and the fraction of ones."""
    return plain(generator, meter, bits, joined=True)


def ours(generator: str, meter: str, bits: int) -> tuple[float, float]:
    """Record by the array of a bench; gives seconds and the fraction of ones."""
    text = EXAMPLE.read_text("utf-8")
    for port, resource in ((5025, generator), (5026, meter)):
        text = text.replace(f"TCPIP::127.0.0.1::{port}::SOCKET", resource)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.toml"
        file.write_text(text, "utf-8")
        with Bench.from_toml(file) as bench:
            array = array_of(bench, POINT)
            array.set_working_point(POINT)
            array.set_thresholds(np.array([THRESHOLD]))
            array.switch_on(5.0)
            start, ones = time.perf_counter(), 0
            for block in blocks_of(array, bits, lambda: False):
                ones += int(np.unpackbits(block.bits, count=block.pulses).sum())
            return time.perf_counter() - start, ones / bits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bits", type=int, default=400)
    parser.add_argument("--round-trips", type=float, nargs="*", default=[0.0, 2.0, 10.0])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lab.toml"
        file.write_text(LAB, "utf-8")
        with python("-m", "memtj", "lab", str(file), "--json", "--exit-with-parent") as ready:
            boxes = json.loads(ready)["resources"]
            for trip in chosen.round_trips:
                with contextlib.ExitStack() as wires:
                    ends = [
                        wires.enter_context(slow_wire(boxes[name], trip / 2e3))
                        for name in ("generator", "meter")
                    ]
                    compare(ends, trip, chosen.rounds, chosen.bits)


def compare(ends: list[str], trip: float, rounds: int, bits: int) -> None:
    """Measure all in turn and print."""
    ways = {"lines": plain, "joined": joined, "ours": ours}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    ones: dict[str, float] = {}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            seconds, ones[name] = ways[name](ends[0], ends[1], bits)
            rates[name].append(bits / seconds)
    said = ", ".join(
        f"{name} {statistics.median(rates[name]):.0f} bit/s (P {ones[name]:.2f})" for name in ways
    )
    over = ", ".join(
        f"{statistics.median(a / b for a, b in zip(rates['ours'], rates[name], strict=True)):.2f} over {name}"
        for name in ("lines", "joined")
    )
    print(f"{trip:g} ms there and back: {said}; ours {over}", flush=True)


if __name__ == "__main__":
    main()
