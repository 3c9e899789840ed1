"""Sources of bits: leases, software, the operating system, negative controls, and conditionings before them."""

from sampler.sources._conditioned import ConditionedSource, software_source
from sampler.sources._conditioning import check_works_on, entropy_errors
from sampler.sources._controls import (
    BiasedSource,
    ConstantSource,
    CorrelatedSource,
    RepeatedSource,
    StuckSource,
)
from sampler.sources._lease import LeaseSource, PortionSource
from sampler.sources._software import OperatingSystemSource, SoftwareSource
from sampler.sources._source import Packed, Source

__all__ = [
    "BiasedSource",
    "ConditionedSource",
    "ConstantSource",
    "CorrelatedSource",
    "LeaseSource",
    "OperatingSystemSource",
    "Packed",
    "PortionSource",
    "RepeatedSource",
    "SoftwareSource",
    "Source",
    "StuckSource",
    "check_works_on",
    "entropy_errors",
    "software_source",
]
