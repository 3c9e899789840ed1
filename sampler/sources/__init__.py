"""Sources of bits: leases, software, the operating system, negative controls, and conditionings before them."""

from sampler.sources._conditioned import ConditionedSource
from sampler.sources._conditioning import check_works_on, entropy_errors
from sampler.sources._controls import (
    BiasedSource,
    ConstantSource,
    CorrelatedSource,
    RepeatedSource,
    StuckSource,
)
from sampler.sources._lease import LeaseSource, PortionSource, by_words, picture_streams
from sampler.sources._software import OperatingSystemSource, SoftwareSource
from sampler.sources._source import NumberedStreams, Packed, Source, Stream, Streams, streams_of, whole_bytes
from sampler.sources._spec import SourceSpec, source_again
from sampler.sources._store import StoreSource, joined, leased

__all__ = [
    "BiasedSource",
    "ConditionedSource",
    "ConstantSource",
    "CorrelatedSource",
    "LeaseSource",
    "NumberedStreams",
    "OperatingSystemSource",
    "Packed",
    "PortionSource",
    "RepeatedSource",
    "SoftwareSource",
    "Source",
    "SourceSpec",
    "StoreSource",
    "Stream",
    "Streams",
    "StuckSource",
    "by_words",
    "check_works_on",
    "entropy_errors",
    "joined",
    "leased",
    "picture_streams",
    "source_again",
    "streams_of",
    "whole_bytes",
]
