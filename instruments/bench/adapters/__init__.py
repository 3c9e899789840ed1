"""One adapter per box that plays a classic role: every setting is read back, the limits are asked first."""

from ._agilent_33500 import Agilent33500Source
from ._junction import Junction, JunctionLimits
from ._keithley_2400 import Keithley2400Readout
from ._protocols import Adapter, PulseSettings, PulseSource, Readout, ReadSettings
from ._wire import is_model

__all__ = [
    "Adapter",
    "Agilent33500Source",
    "Junction",
    "JunctionLimits",
    "Keithley2400Readout",
    "PulseSettings",
    "PulseSource",
    "ReadSettings",
    "Readout",
    "is_model",
]
