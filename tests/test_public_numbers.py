"""Every numeric parameter of the public API takes numbers of numpy and refuses what is no number, before anything."""

import decimal
import fractions
import inspect
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pymeasure.experiment import FloatParameter, IntegerParameter

import entropy
import instruments.procedures
from drivers import ArrayBoard
from entropy.arguments import RefusedArgument, real
from entropy.testing import record_blocks
from instruments import Bench, BenchError, BoardRole, SignalPath, Trims
from instruments.bench._limits import Limits
from mock_hw import LabError
from mock_hw._lab import DEFAULT
from sampler import SamplerError
from tests.public_numbers import TABLE, UNCHECKED, kinds, numeric_parameters, results

PARAMETERS, KINDS = numeric_parameters(), kinds(TABLE)
NO_NUMBERS = (
    "8", b"8", "nan", True, np.True_, [8], np.array([8]), np.array(["8"]), 8j, object(), np.datetime64(8, "s"),
)  # fmt: skip
NO_COUNTS = (
    *NO_NUMBERS, 1.5, 8.0, 1e5, math.nan, math.inf, np.float32(8), np.float64(8), fractions.Fraction(8),
    decimal.Decimal(8), np.array(8.0), 1 << 300, -(1 << 300),
)  # fmt: skip
NOT_FINITE = (
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    np.array(math.inf),
    decimal.Decimal("NaN"),
    10**400,
)
BEYOND = {
    "n": (-1, np.int64(-8)),
    "n1": (0, -1),
    "r0": (-0.5,),
    "r+": (0, -0.5),
    "p": (-0.1, 1.1),
    "p+": (0, 1.1),
}
BEYOND |= {"i0": (-0.5, -math.inf), "i+": (0, -math.inf)}


def bad_values(kind: str) -> Iterator[Any]:
    """Give what a parameter of that kind refuses."""
    kind = kind.partition("=")[0]
    if kind == "()":
        for bad in bad_values("n"):
            yield from ([("x", bad, 8)], [("x", 0, bad)])
    elif kind == "(,)":
        yield from (("x", bad, bad) for bad in bad_values("n"))
    elif kind.endswith("[]"):
        yield from ([bad] for bad in bad_values(kind[:-2]))
    elif kind[0] in "nz":
        yield from (*NO_COUNTS, *BEYOND.get(kind, ()))
    else:
        yield from (bad for bad in NO_NUMBERS if kind != "a" or not isinstance(bad, list | np.ndarray))
        yield from (math.nan, -math.inf, np.float32("nan")) if kind[0] == "i" else NOT_FINITE
        yield from BEYOND.get(kind, ())


def good_value(kind: str) -> Any:
    """Give what it takes."""
    kind, _, value = kind.partition("=")
    if value:
        return int(value)
    if kind.endswith("[]"):
        return [good_value(kind[:-2])]
    return {"()": [], "(,)": ("x", 0, 0)}.get(kind, 8 if kind[0] in "nz" else 0.5)


def test_the_table_knows_every_numeric_parameter_and_no_other():
    """Whoever adds one enters it in `tests/public_numbers.py`, with what it takes."""
    made = results()
    found = {
        path: names - UNCHECKED.get(path, set())
        for path, (_, method, names) in PARAMETERS.items()
        if not (method == "__init__" and path.removesuffix(".__init__") in made)
    }
    assert {path: names for path, names in found.items() if names} == {
        path: set(k) for path, k in KINDS.items()
    }
    assert made <= {path.removesuffix(".__init__") for path in PARAMETERS}
    assert all(names <= PARAMETERS[path][2] for path, names in UNCHECKED.items())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Things whose methods look at more than the number first, by the name of their class; and a store behind them."""
    folder = tmp_path_factory.mktemp("numbers")
    with entropy.Store(folder / "store") as store:
        record_blocks(store, [np.full(512, 0xA5, np.uint8)], cells=64)
        store.credit(store.buffers()[0].uuid, 0.9, bits=8, basis="test")
        with (
            store.lease(64, purpose="test", conditioning="xor2") as lease,
            store.reserve(64, purpose="test") as job,
        ):
            (portion,) = lease.split(1, 32)
            limits = SimpleNamespace(
                pulse_voltage=2.0, pulse_width=1e-8, duty=0.5, read_voltage=0.2, hold_voltage=0.5
            )
            board = SimpleNamespace(width=1e-9, reset_width=1e-9, period=6e-9)
            role = BoardRole(
                board,  # type: ignore[arg-type]
                SignalPath(50.0, 50.0, 0.0, 0.0, 78e3), limits,  # type: ignore[arg-type]
                SimpleNamespace(rows=2, columns=2),  # type: ignore[arg-type]
                source="bench.toml", instrument="board",
            )  # fmt: skip
            role._limits.in_force = Limits(1.0, 1e-8, 0.1)
            bench = Bench.__new__(Bench)
            bench.roles, bench.source, bench.limits = {}, "bench.toml", SimpleNamespace(field=None)  # type: ignore[assignment]
            yield {
                "Bench": bench, "Store": store, "Lease": lease, "Portion": portion, "Reservation": job,
                "BoardRole": role,
                "board": board,
            }  # fmt: skip


def call(path: str, name: str, value: Any, world: dict[str, Any], folder: Path) -> None:
    """Call what `path` names with one argument, good numbers for the others, and things that are none for the rest."""
    thing, method, _ = PARAMETERS[path]
    function, owner = getattr(thing, method) if method else thing, None
    if inspect.isclass(thing) and not inspect.ismethod(function):
        owner = world.get(thing.__name__) or thing.__new__(thing)
        function = getattr(owner, method)
    given = {key: good_value(kind) for key, kind in KINDS[path].items()} | {name: value}
    rest = {
        "store": world["Store"], "into": world["Store"], "target": folder / "out", "path": DEFAULT, "sources": None,
        "purpose": "x", "basis": "x", "verdict": "x", "device": "C" if method == "of" else "x", "mode": "reset",
        "trims": np.zeros((2, 2)) if method == "set_trims" else Trims(),
    }  # fmt: skip
    if method == "" and "export" in thing.__name__:  # bits or blocks, not both
        given = {name: value}
    for key, parameter in inspect.signature(function).parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and key not in given and not variadic:
            given[key] = rest.get(key, SimpleNamespace())
    done = function(**given)
    if hasattr(done, "__enter__"):
        with done:
            pass
    elif inspect.isgenerator(done):
        list(done)


OURS = (RefusedArgument, SamplerError, LabError, BenchError)


@pytest.mark.parametrize("path", KINDS)
def test_what_is_no_such_number_is_refused_by_its_name_and_changes_nothing(path, world, tmp_path):
    store, board = world["Store"], dict(vars(world["board"]))
    before = store.accounts(), store.requests(), store.leases(), store.credits(), len(store.buffers())
    for name, kind in KINDS[path].items():
        for value in bad_values(kind):
            with pytest.raises((TypeError, ValueError, *OURS)) as raised:
                call(path, name, value, world, tmp_path)
            error = raised.value
            assert isinstance(error, OURS) or re.search(rf"\b{name.replace('_', '[-_ ]')}\b", str(error)), (
                name,
                value,
                error,
            )
            assert len(str(error)) < 400
            assert "\n" not in str(error)
    assert (
        store.accounts(),
        store.requests(),
        store.leases(),
        store.credits(),
        len(store.buffers()),
    ) == before
    assert store.accounts().balanced
    assert store._ledger.intact()
    assert vars(world["board"]) == board
    assert not list(tmp_path.iterdir())


INTEGERS = (
    int, np.int8, np.uint8, np.int16, np.int64, np.uint64, lambda n: np.array(n), lambda n: np.array(n, np.uint8),
    lambda n: np.prod((n, 1)),
)  # fmt: skip
REALS = (
    float, np.float32, np.float64, np.longdouble, lambda x: np.array(x), fractions.Fraction, decimal.Decimal,
    lambda x: np.float16(x),
)  # fmt: skip


@pytest.mark.parametrize(("whole", "broken"), [*zip(INTEGERS, REALS, strict=False)])
def test_numbers_of_numpy_do_exactly_what_was_asked(tmp_path, whole, broken):
    with entropy.Store(tmp_path / "store") as store:
        record_blocks(store, [np.full(512, 0xA5, np.uint8)], cells=64)
        (info,) = store.buffers()
        store.credit(info.uuid, broken(0.5), bits=whole(64), basis="test")
        with store.lease(whole(64), purpose="a", wait=broken(0.5), min_entropy=broken(0.5)) as lease:
            assert lease.read(whole(8)).tolist() == [0xA5]
            for portion in lease.split(whole(2), whole(8)):
                assert portion.read(whole(8)).tolist() == [0xA5]
        with store.reserve(whole(100), purpose="b") as job, job.lease(whole(16), wait=broken(0.5)) as lease:
            lease.read(whole(16))
        assert store.withhold(info.uuid, whole(100), whole(50), verdict="x") == 50
        assert store.release(info.uuid, whole(100), whole(10), verdict="x") == 10
        assert len(store.read([(info.uuid, whole(8), whole(16))])) == 2
        accounts = store.accounts()
        assert (accounts.consumed, accounts.withheld, accounts.free) == (40, 40, 4096 - 80)
        assert (accounts.leased, accounts.burned) == (0, 0)
        assert store._ledger.intact()
        assert store.verify().ok


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE], ids=lambda value: f"{type(value).__name__}")
def test_no_parameter_of_a_procedure_and_no_setting_of_the_driver_takes_it(value):
    """Pymeasure's Parameters, and the driver's properties, which the walk does not see."""
    for procedure in (instruments.procedures.RecordBits(), instruments.procedures.Tune()):
        for name, parameter in procedure._parameters.items():
            if isinstance(parameter, FloatParameter | IntegerParameter):
                before = getattr(procedure, name)
                setattr(procedure, name, value)
                with pytest.raises(BenchError, match=rf"cannot use {name} = "):
                    procedure.check_parameters()
                setattr(procedure, name, before)
    settings = list(filter(None, map(_own_validator, vars(ArrayBoard).values())))
    for validator, values in settings:
        with pytest.raises((TypeError, ValueError)):
            validator(value, values)
    assert len(settings) > 12


def _own_validator(member: Any) -> tuple[Any, Any] | None:
    """Give the driver's own validator of a pymeasure property of numbers, and its values."""
    if not (isinstance(member, property) and member.fset):
        return None
    told = {key: each.default for key, each in inspect.signature(member.fset).parameters.items()}
    validator, values = told.get("validator"), told.get("values")
    ours = getattr(validator, "__module__", "").startswith("drivers") and isinstance(values, tuple)
    return (validator, values) if ours else None


def test_what_is_refused_is_shown_short():
    with pytest.raises(ValueError, match=r"^x is a finite number, not 1000.*000$"):
        real(10**4000, "x")
    with pytest.raises(ValueError, match=r"^x is a finite number, not a number of thousands of digits$"):
        real(10**5000, "x")
    with pytest.raises(TypeError, match=r"^x is a number, not 'y+\.\.\.y+'$") as raised:
        real("y" * 10_000, "x")
    assert len(str(raised.value)) < 100
