"""The account of the draws that a picture grew from, as its provenance holds it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from ._assumptions import Assumptions
from ._joules import Joules
from ._recorded import terms_of
from ._terms import Term

_Sum = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DrawAccount(BaseModel):
    """What one picture took, its share of what was in the array with it, before what is assumed of the circuit.

    `bits`: draws; `write_from_p` … `hold`: joules of the junctions, those of antiparallel ones with `half_voltage`, the
    volts that were assumed when they were counted; `squares`: V² of all pulses and readings; `conversions`,
    `comparisons`, `positions`: counts; `seconds`: with hold and field on, `network_seconds` of them in the network.
    """

    model_config = ConfigDict(frozen=True)

    bits: _Sum
    write_from_p: _Sum
    write_from_ap: _Sum
    reset: _Sum
    read: _Sum
    hold: _Sum
    half_voltage: _Sum
    squares: _Sum
    conversions: _Sum
    comparisons: _Sum
    positions: _Sum
    seconds: _Sum
    network_seconds: _Sum

    @classmethod
    def mean(cls, accounts: Sequence[Self]) -> Self:
        """Give what pictures took on the average, from the account of each."""
        return cls(
            **{
                name: math.fsum(getattr(each, name) for each in accounts) / len(accounts)
                for name in cls.model_fields
            }
        )

    def __add__(self, other: Self) -> Self:
        """Give what a picture took in two parts; the volts that the second assumed stand for both."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields}
        return type(self)(**{**sums, "half_voltage": other.half_voltage})

    def terms(self, a: Assumptions) -> tuple[Term, ...]:
        """Give the terms of a picture with these assumptions; a half voltage that differs is said, and not followed."""
        sums = Joules(
            write_from_p=self.write_from_p,
            write_from_ap=self.write_from_ap,
            reset=self.reset,
            read=self.read,
            line=a.line_capacitance.value * self.squares,
            conversions=a.conversion_energy.value * self.conversions,
            comparisons=a.comparison_energy.value * self.comparisons,
            hold=self.hold,
            magnet=a.magnet_power.value * self.seconds,
            wire=a.wire_energy.value * self.positions,
            host=a.host_power.value * (self.seconds - self.network_seconds),
        )
        network = Term(
            "network", "system", a.network_power.value * self.network_seconds, "assumed",
            "power × its seconds in this run",
        )  # fmt: skip
        terms = (*terms_of(sums, 1, a, True), network)
        if math.isclose(self.half_voltage, a.half_voltage.value):
            return terms
        counted = f"; with V_h = {self.half_voltage:g} V, as counted when it was drawn"
        return tuple(
            replace(term, standing="assumed", basis=term.basis + counted)
            if term.name in ("write from AP", "reset")
            else term
            for term in terms
        )
