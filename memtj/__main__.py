"""Entry point of the `memtj` command."""

import sys

from memtj._shadowed import foreign_package


def main() -> None:
    """Run the command line; exits with 0 only on success."""
    foreign = foreign_package()
    if foreign is not None:
        print(f"memtj: {foreign}", file=sys.stderr)
        sys.exit(1)
    from memtj._cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
