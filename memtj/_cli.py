"""The typer application: every command, and what the shell sees of an error."""

import importlib
import logging
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from memtj import __version__
from memtj.commands import assess, bench, compare, demo, lab, record, replay, sample, store, train, tune

app = typer.Typer(
    name="memtj",
    help="From a pulse on a magnetoelectric tunnel junction to a picture, with every bit accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("lab")(lab.lab)
app.command("tune")(tune.tune)
app.command("record")(record.record)
app.command("assess")(assess.assess)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("replay")(replay.replay)
app.command("compare")(compare.compare)
app.add_typer(bench.app, name="bench")
app.add_typer(store.app, name="store")

# Raised for reasons a user can act on; each message is one sentence. Named by text so that a command imports
# only the packages it needs: an exception can only have been raised by a package that is loaded.
_SPOKEN = (
    ("memtj._errors", "CommandError"),
    ("entropy", "StoreError"),
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
    terminated = False

    def terminate(signum: int, frame: object) -> NoReturn:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    # A shell starts background jobs with Ctrl-C ignored; a request to stop pulsing is always heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
        print("memtj: terminated." if terminated else "memtj: interrupted.", file=sys.stderr)
        return 143 if terminated else 130
    return status
