"""The typer application: every command, and what the shell sees of an error."""

import importlib
import logging
import signal
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from memtj import __version__
from memtj._interrupts import hear_interrupts

# What `memtj --help` says of each command: the first line of its own help, so that none has to be imported for it.
COMMANDS = {
    "demo": "Record bits from an array of ME-MTJs (simulated by default), draw digits with them meanwhile, and report.",
    "lab": "Serve the simulated lab on this computer until Ctrl-C, and print the VISA resource of each of its boxes.",
    "tune": "Trim the pulse of every cell until it switches with the wanted probability; "
    "the output is off at every end.",
    "calibrate": "Find at which voltage each cell switches with which probability; the output is off at every end.",
    "record": "Measure and trim the cells, then record bits into a store; the output is off at every end of it.",
    "assess": "Estimate the min-entropy of recorded bits, test them, and write a page with figures; no bit is spent.",
    "train": "Train a class-conditional network and write a checkpoint folder. The bill comes first.",
    "sample": "Draw pictures with recorded bits as their noise. The bill comes first.",
    "grow": "Grow pictures in an array: each step flips each cell with the probability that the network says; "
    "all off then.",
    "noise": "Noise pictures in an array, a pulse a pixel and step; exit code 1 where a step flips more or fewer than "
    "asked.",
    "replay": "Draw pictures again from the bits that their provenance names; exit code 1 unless all are identical.",
    "compare": "Run the arms of a plan and report what sets their pictures, and their bits, apart from software's.",
    "energy": "Say what recorded bits, or pictures, took in joules and area, by term; no bit is spent.",
    "bench": "Find boxes and begin a bench file, check the bench, or switch everything off.",
    "store": "What a store holds, whether it is sound, and its care.",
}


class _Commands(TyperGroup):
    """The commands by name; each is imported when it is called, with nothing that only the others need."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else imported(name), rest


def imported(name: str) -> Any:
    """Import a command, as typer's own class: `memtj.commands.NAME` has the function NAME, or the group `app`."""
    module = importlib.import_module(f"memtj.commands.{name}")
    parent = typer.Typer()
    if hasattr(module, "app"):
        parent.add_typer(module.app, name=name)
    else:
        parent.command(name)(getattr(module, name))
    return get_group(parent).commands[name]


app = typer.Typer(
    name="memtj",
    cls=_Commands,
    help="From a pulse on a magnetoelectric tunnel junction to a picture, with every bit accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Raised for reasons a user can act on; each message is one sentence. Named by text so that a command imports
# only the packages it needs: an exception can only have been raised by a package that is loaded.
_SPOKEN = (
    ("memtj._errors", "CommandError"),
    ("entropy", "StoreError"),
    ("entropy.arguments", "RefusedArgument"),
    ("sampler", "SamplerError"),
    ("instruments", "BenchError"),
    ("drivers", "BoardError"),
    ("mock_hw", "LabError"),
    ("mock_hw.physics", "DeviceError"),
)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the packages log.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"memtj {__version__}")
        raise typer.Exit
    context.obj = {"debug": debug}
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO if verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if not (debug or verbose):
        # What pymeasure logs before it raises would stand beside our one sentence.
        logging.getLogger("pymeasure").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", category=FutureWarning, module="pymeasure")  # to its maintainers
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _is_spoken(error: Exception) -> bool:
    for module, name in _SPOKEN:
        if module in sys.modules and isinstance(error, getattr(importlib.import_module(module), name, ())):
            return True
    return isinstance(error, OSError | ImportError | MemoryError)


def _speak(error: Exception) -> None:
    if _is_spoken(error):
        print(f"memtj: {error}", file=sys.stderr)
    else:
        print(
            f"memtj: unexpected {type(error).__name__}: {error} "
            "(this is a fault of memtj; run again with 'memtj --debug …' and report the traceback).",
            file=sys.stderr,
        )


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status: 0 success, 1 error, 2 usage, 130 Ctrl-C, 143 SIGTERM."""
    heard = hear_interrupts()
    try:
        app(arguments, prog_name="memtj")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        else:
            _speak(error)
        return 1
    else:
        status = 0
    if status == 130:
        # Python notes an interruption of `exec` of a text (a dataclass is made by one), and `python -m` would end by
        # SIGINT instead of with our status; the next such call takes the note back.
        exec("")
        terminated = signal.SIGTERM in heard
        print("memtj: terminated." if terminated else "memtj: interrupted.", file=sys.stderr)
        return 143 if terminated else 130
    return status
