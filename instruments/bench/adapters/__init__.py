"""One adapter per box that plays a classic role: every setting is read back, the limits are asked first."""

from ._agilent_33500 import Agilent33500Source
from ._junction import Junction, JunctionLimits
from ._keithley_2400 import Keithley2400Readout
from ._kepco_bop import KepcoBOPSupply
from ._lakeshore_425 import LakeShore425Gaussmeter
from ._protocols import (
    Adapter,
    FieldSource,
    Gaussmeter,
    MagnetSettings,
    PulseSettings,
    PulseSource,
    Readout,
    ReadSettings,
)
from ._wire import is_model

__all__ = [
    "Adapter",
    "Agilent33500Source",
    "FieldSource",
    "Gaussmeter",
    "Junction",
    "JunctionLimits",
    "Keithley2400Readout",
    "KepcoBOPSupply",
    "LakeShore425Gaussmeter",
    "MagnetSettings",
    "PulseSettings",
    "PulseSource",
    "ReadSettings",
    "Readout",
    "is_model",
]
