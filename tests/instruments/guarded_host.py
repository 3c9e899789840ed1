"""A program that has a generator and a source-meter open with both outputs on: `guarded_host.py BENCH HOW`."""

import os
import signal
import sys
import time
from unittest import mock

from instruments import Bench
from instruments.bench._bench import Guardian
from instruments.bench.adapters import PulseSettings, ReadSettings


def main(path: str, how: str) -> None:
    if how == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    bench = Bench.from_toml(path)
    if how == "unarmed":
        mock.patch.object(Guardian, "arm").start()
    if how == "clumsy":
        mock.patch.object(Bench, "_make_safe", return_value=False).start()
    with bench:
        bench.pulse_source.adapter.prepare(PulseSettings(0.5, 1e-7, 1e-8, 1e-3))
        bench.readout.adapter.prepare(ReadSettings(0.05, 1e-3))
        if how == "forked" and not os.fork():
            time.sleep(300)  # with the guardian's pipe open
        print("on", flush=True)
        if how in ("clumsy", "orderly"):
            return
        while True:
            time.sleep(0.1)


main(*sys.argv[1:])
