"""`memtj energy`: joules per bit and per picture, by term, beside what others have published."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memtj._answer import answer, columns
from memtj._errors import CommandError
from memtj._options import AsJson
from memtj._quantities import si

if TYPE_CHECKING:
    from memtj.energy import Assumptions, PicturesEnergy, Ratio, StoreEnergy, Term


def energy(
    subject: Annotated[
        Path,
        typer.Argument(metavar="STORE|PICTURES", help="A store, or a folder of `memtj sample` or `grow`."),
    ],
    store: Annotated[Path | None, typer.Option(help="Of pictures: the store of their bits.")] = None,
    assume: Annotated[
        Path | None, typer.Option(help="TOML file of assumptions in place of the shipped ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what recorded bits, or pictures, took in joules and area, by term; no bit is spent.

    Each term is measured, computed from what the files hold, or assumed, and says so. docs/energy.md says what the
    terms are and what they leave out.
    """
    from memtj.energy import energy_of_pictures, energy_of_store, load_assumptions, ratios

    assumed = load_assumptions(assume)
    if (subject / "ledger.sqlite").exists():
        if store is not None:
            raise CommandError(f"{subject} is a store itself: leave --store out.")
        with _opened(subject) as opened:
            found = energy_of_store(opened, assumed)
        compared = ratios(found.terms, assumed)
        answer(
            as_json,
            _store_json(subject, found, compared, assumed),
            _store_lines(found, compared),
            allow_nan=False,
        )
        return
    if not subject.is_dir():
        raise CommandError(f"{subject} is no folder: name a store, or a folder of memtj sample or grow.")
    if store is None:
        pictures = energy_of_pictures(subject, None, assumed)
    else:
        with _opened(store) as opened:
            pictures = energy_of_pictures(subject, opened, assumed)
    answer(as_json, _pictures_json(subject, pictures, assumed), _picture_lines(pictures), allow_nan=False)


def _opened(path: Path) -> Any:
    from entropy import Store

    return Store(path, create=False, read_only=True)


def _totals(terms: "Sequence[Term]") -> "dict[str, float | None]":
    from memtj.energy import LEVELS, total

    return {level: total(terms, level) for level in LEVELS}


def _store_json(
    path: Path, found: "StoreEnergy", compared: "list[Ratio]", assumed: "Assumptions"
) -> dict[str, Any]:
    return {
        "store": str(path),
        "simulated": found.simulated,
        "bits": found.bits,
        "per": "bit",
        "terms": [asdict(term) for term in found.terms],
        "joules_per_bit": _totals(found.terms),
        "area": asdict(found.areas),
        "bits_per_s_um2": found.bits_per_area,
        "joule_um2_per_bit": found.energy_area,
        "published": [
            {**asdict(each), "published": each.published.model_dump(mode="json")} for each in compared
        ],
        "assumptions": assumed.model_dump(mode="json", exclude={"published"}),
    }


def _pictures_json(path: Path, found: "PicturesEnergy", assumed: "Assumptions") -> dict[str, Any]:
    return {
        **asdict(found),
        "folder": str(path),
        "per": "picture",
        "joules_per_picture": _totals(found.terms),
        "assumptions": assumed.model_dump(mode="json", exclude={"published"}),
    }


def _store_lines(found: "StoreEnergy", compared: "list[Ratio]") -> Iterator[str]:
    origin = "a simulated array" if found.simulated else "an array"
    yield f"{found.bits:,} usable bits of {origin}, joules per bit:"
    yield _term_table(found.terms)
    areas = [("area of one cell", "", "bits/(s µm²)", "J µm²/bit, all terms")]
    areas += [
        (
            name.replace("_", " "),
            f"{area * 1e12:.4g} µm²",
            _number(found.bits_per_area[name]),
            _number(found.energy_area[name]),
        )
        for name, area in asdict(found.areas).items()
    ]
    yield "\n" + columns(areas)
    head = (
        "published",
        "",
        "J/bit",
        "times ours",
        "at our node, assumed",
        "without its largest term of ours",
    )
    yield "\n" + columns([head, *map(_compared, compared)])
    yield "* as reported, not verified here. Ratios are at the level of the published one: circuit or system."


def _compared(each: "Ratio") -> tuple[str, ...]:
    other = each.published
    without = max(each.without.items(), key=lambda item: item[1] or 0, default=("", None))
    return (
        other.name + ("" if other.verified else " *"),
        other.how,
        "" if other.joules_per_bit is None else si(other.joules_per_bit, "J"),
        _number(each.ratio),
        _number(each.scaled),
        f"{_number(without[1])} ({without[0]})" if without[1] else "",
    )


def _picture_lines(found: "PicturesEnergy") -> Iterator[str]:
    origin = {None: "", True: " of a simulated array", False: " of an array"}[found.simulated]
    yield (
        f"{found.pictures:,} pictures of {found.steps:g} steps, {found.recorded_bits:,.0f} recorded bits{origin} each, "
        "joules per picture:"
    )
    yield _term_table(found.terms)


def _term_table(terms: "Sequence[Term]") -> str:
    rows = [("term", "level", "joules", "", "from")]
    rows += [
        (
            term.name,
            term.level,
            "" if term.joules is None else si(term.joules, "J"),
            term.standing,
            term.basis,
        )
        for term in terms
    ]
    rows += [
        (f"all of {level}", "", "" if joules is None else si(joules, "J"), "", "and of the levels before it")
        for level, joules in _totals(terms).items()
    ]
    return columns(rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
