"""Entry point of the `memtj` command."""

import gc
import os
import sys

from memtj._shadowed import foreign_package


def main() -> None:
    """Run the command line; exits with 0 only on success."""
    # Beside other programs, torch's threads would spin for one that does not run: many times slower than one thread.
    # OpenMP reads this when it is loaded, so it stands before any import. What the user has set stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What a command loads are half a million objects that stay: not worth many looks for garbage, and none at the end.
    gc.set_threshold(100_000)
    foreign = foreign_package()
    if foreign is not None:
        print(f"memtj: {foreign}", file=sys.stderr)
        sys.exit(1)
    from memtj._cli import run

    status = run(sys.argv[1:])
    gc.freeze()
    sys.exit(status)


if __name__ == "__main__":
    main()
