"""One adapter per box that plays a classic role: every setting is read back, the limits are asked first.

A box of one's own is one such class (docs/add-an-instrument.md), for which `tell`, `ask` and the rest are public.
"""

from ._agilent_33500 import Agilent33500Source
from ._junction import Junction, JunctionLimits
from ._keithley_2400 import Keithley2400Readout
from ._keithley_2450 import Keithley2450Readout
from ._kepco_bop import KepcoBOPSupply
from ._keysight_81160a import Keysight81160ASource
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
from ._wire import (
    SOCKET_LINES,
    Expected,
    ask,
    ask_number,
    expect,
    expect_model,
    expect_no_error,
    expect_number,
    expect_range,
    expect_word,
    is_model,
    is_on,
    off_where_it_fails,
    tell,
    tell_and_expect,
    try_all,
)

__all__ = [
    "SOCKET_LINES",
    "Adapter",
    "Agilent33500Source",
    "Expected",
    "FieldSource",
    "Gaussmeter",
    "Junction",
    "JunctionLimits",
    "Keithley2400Readout",
    "Keithley2450Readout",
    "KepcoBOPSupply",
    "Keysight81160ASource",
    "LakeShore425Gaussmeter",
    "MagnetSettings",
    "PulseSettings",
    "PulseSource",
    "ReadSettings",
    "Readout",
    "ask",
    "ask_number",
    "expect",
    "expect_model",
    "expect_no_error",
    "expect_number",
    "expect_range",
    "expect_word",
    "is_model",
    "is_on",
    "off_where_it_fails",
    "tell",
    "tell_and_expect",
    "try_all",
]
