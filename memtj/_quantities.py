"""Quantities as people read them: SI prefixes, durations."""

import math

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def si(value: float, unit: str, digits: int = 3) -> str:
    """Return `value` with an SI prefix, for example `si(7.3e-15, "J")` → '7.30 fJ'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    rounded = float(f"{value:.{digits - 1}e}")  # before the prefix is chosen: 999.9 k is 1.00 M
    magnitude = math.floor(math.log10(abs(rounded)))
    exponent = min(12, max(-18, 3 * (magnitude // 3)))
    decimals = min(digits - 1, max(0, digits - 1 - (magnitude - exponent)))
    return f"{rounded / 10.0**exponent:.{decimals}f} {_PREFIXES[exponent]}{unit}"


def duration(seconds: float) -> str:
    """Return a duration as '42 s', '3:05' or '2:03:05'."""
    if not math.isfinite(seconds):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
