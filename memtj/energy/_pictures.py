"""The account of pictures: what their recorded bits took, and the network, from the pictures' own provenance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from entropy import Store
from memtj._errors import CommandError

from ._assumptions import Assumptions, first_error
from ._draws import DrawAccount
from ._recorded import energy_of_store
from ._terms import Term


@dataclass(frozen=True)
class PicturesEnergy:
    """What pictures took, on the average: `terms` in joules per picture; `recorded_bits` per picture.

    `simulated`: some of their bits come from a simulated array; None where none were recorded ones.
    """

    pictures: int
    recorded_bits: float
    steps: float
    simulated: bool | None
    terms: tuple[Term, ...]


def energy_of_pictures(folder: Path, store: Store | None, assumed: Assumptions) -> PicturesEnergy:
    """Account for the pictures of a folder of `memtj sample`, by the store that their bits were recorded in.

    Pictures of `memtj grow` hold their account themselves. Raises CommandError where there are none or of both kinds,
    where an account is damaged, or where they were drawn with recorded bits and no store is given.
    """
    told = [each for path in sorted(_folder(folder).glob("*.json")) if (each := _provenance(path))]
    if not told:
        raise CommandError(
            f"{folder} holds no pictures with their provenance: name a folder of memtj sample or grow."
        )
    grown = [each for each in told if each["bits"].get("source") == "array"]
    if grown:
        if len(grown) < len(told):
            raise CommandError(
                f"{folder} holds pictures that were grown, and others: name a folder of one kind."
            )
        return _of_grown(grown, assumed)
    leased = [each["bits"] for each in told if each["bits"].get("source") == "lease"]
    bits = sum(each["bits"] for each in leased) / len(told)
    steps = sum(each["sampling"]["steps"] for each in told) / len(told)
    network = _network(steps, assumed)
    if not leased:
        return PicturesEnergy(len(told), 0.0, steps, None, (network,))
    if store is None:
        raise CommandError("the pictures were drawn with recorded bits: name their store with --store.")
    used = {buffer for each in leased for buffer, _, _ in each["ranges"]}
    each_bit = energy_of_store(store, assumed, used)
    terms = tuple(
        replace(term, joules=None if term.joules is None else term.joules * bits) for term in each_bit.terms
    )
    return PicturesEnergy(len(told), bits, steps, each_bit.simulated, (*terms, network))


def _of_grown(told: Sequence[Mapping[str, Any]], assumed: Assumptions) -> PicturesEnergy:
    steps = sum(each["sampling"]["steps"] for each in told) / len(told)
    simulated = any(each["bits"]["simulated"] for each in told)
    if not all("energy" in each for each in told):  # grown by a memtj that did not say
        terms = (
            Term("draws", "junction", None, "not known", "the pictures' provenance has no account of them"),
            _network(steps, assumed),
        )
        return PicturesEnergy(len(told), 0.0, steps, simulated, terms)
    try:
        account = DrawAccount.mean([DrawAccount.model_validate(each["energy"]) for each in told])
    except ValueError as error:
        raise CommandError(
            f"the account in a picture's provenance is damaged: {first_error(error)}"
        ) from error
    return PicturesEnergy(len(told), account.bits, steps, simulated, account.terms(assumed))


def _network(steps: float, assumed: Assumptions) -> Term:
    return Term(
        "network",
        "system",
        steps * assumed.network_seconds.value * assumed.network_power.value,
        "assumed",
        "power × seconds of a step × steps",
    )


def _folder(folder: Path) -> Path:
    inner = folder / "pictures"
    return inner if inner.is_dir() else folder


def _provenance(path: Path) -> Mapping[str, Any] | None:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"the provenance {path} cannot be read: {error}") from error
    return told if isinstance(told, dict) and told.get("format") == "memtj-picture" else None
