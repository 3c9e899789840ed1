"""What the noise hook costs a network that draws nothing: processor time with the hook on over without.

`python -m benchmarks.hook_cost [--rounds 15]`: alternating rounds on one thread; the fastest of each are compared.
"""

from __future__ import annotations

import argparse
import time

import torch

from sampler import SoftwareSource, hardware_noise


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hook_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(8, 8, 3, padding=1)
    )
    x = torch.ones(4, 1, 16, 16)

    def seconds() -> float:
        start = time.thread_time()
        with torch.no_grad():
            for _ in range(100):
                network(x)
        return time.thread_time() - start

    seconds()
    without, inside = [], []
    for _ in range(rounds):
        without.append(seconds())
        with hardware_noise(SoftwareSource(1)):
            inside.append(seconds())
    print(f"processor time with the hook on over without: {min(inside) / min(without):.3f}")


if __name__ == "__main__":
    main()
