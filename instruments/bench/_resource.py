"""VISA resources: whether one is spelt as such, and why one that is cannot be opened."""

import re

from pyvisa.rname import InvalidResourceName, ResourceName

from drivers import BoardError

_FORMS = {
    "TCPIP": ("TCPIP::host::port::SOCKET", "TCPIP::host::INSTR", "TCPIP::host::hislip0::INSTR"),
    "ASRL": ("ASRL/dev/ttyACM0::INSTR", "ASRL3::INSTR"),
    "GPIB": ("GPIB0::12::INSTR", "GPIB0::12::3::INSTR"),
    "USB": ("USB0::0x05E6::0x2450::04345678::INSTR", "USB0::0x05E6::0x2450::04345678::0::INSTR"),
}
_MISSING = {
    "USB": "pyvisa-py needs pyusb and libusb for it: install them, or NI-VISA and visa_library = \"@ivi\"",
    "GPIB": "pyvisa-py needs linux-gpib or gpib-ctypes for it: install one, or NI-VISA and visa_library = \"@ivi\"",
}  # fmt: skip
_NO_LIBRARY = (
    "could not open visa library",
    "wrapper not found",
    "error while accessing",
)  # as pyvisa says it


def misspelt(resource: str, visa_library: str) -> str | None:
    """Say what is wrong with the spelling of a VISA resource and what is expected, or None where nothing is.

    A vendor's library takes small letters, and aliases of its own: they have no "::" and are left to it.
    """
    python = visa_library.endswith("@py")
    if "::" not in resource and not python:
        return None
    kind = next((kind for kind in _FORMS if resource.upper().startswith(kind)), None)
    forms = _FORMS[kind] if kind else tuple(form for each in _FORMS.values() for form in each[:1])
    expected = f"{resource!r} is no VISA resource: write {', '.join(forms[:-1])} or {forms[-1]}"
    try:
        name = ResourceName.from_string(resource if python else resource.upper())
    except InvalidResourceName:
        return expected
    port = getattr(name, "port", None)
    if port is not None and not (port.isdecimal() and 0 < int(port) < 1 << 16):
        return f"{expected}, with a port from 1 to 65535"
    return expected if getattr(name, "lan_device_name", "").isdecimal() else None


def unreachable(resource: str, error: BaseException) -> str:
    """Say in one sentence why a resource could not be opened, and what to look at."""
    wrong = misspelt(resource, "@py")
    if wrong is not None:
        return wrong
    said = _chain(error).lower()
    if any(words in said for words in _NO_LIBRARY):
        return (
            'the VISA library cannot be loaded: correct visa_library, where "@py" is pyvisa-py, or install it'
        )
    if "name or service not known" in said or "getaddrinfo" in said or "name resolution" in said:
        why = f"the host {_host(resource)!r} is not known to this computer; correct its name, or give its address"
    elif "connectionrefusederror" in said or "connection refused" in said or "actively refused" in said:
        port = re.fullmatch(r"TCPIP\d*::(.+)::(\d+)::SOCKET", resource)
        where = f"port {port[2]} of {port[1]}" if port else f"{_host(resource)} for this kind of resource"
        why = f"nothing listens on {where}; is the box on, and does it serve that?"
    elif "please install" in said or "no module named" in said:
        kind = "GPIB" if resource.upper().startswith("GPIB") else "USB"
        why = f"no driver for {kind} is installed; {_MISSING[kind]}"
    elif "no such file" in said or "filenotfound" in said:
        why = (
            "this computer has no such port; is the adapter plugged in? 'pyserial-ports' lists what there is"
        )
    elif isinstance(error, BoardError):
        return " ".join(str(error).split())
    else:
        return f"{resource} cannot be used ({' '.join(str(error).split())}): check resource, options, power and wire"
    return f"{resource} cannot be opened: {why}"


def _chain(error: BaseException | None) -> str:
    """Give what an error and those that caused it say."""
    said = ""
    while error is not None:
        said += f"{type(error).__name__} {error}\n"
        error = error.__cause__
    return said


def _host(resource: str) -> str:
    return resource.split("::")[1] if "::" in resource else resource
