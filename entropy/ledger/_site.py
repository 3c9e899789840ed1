"""Where a store lives: the stamp of its place, and file systems whose locks cannot be trusted."""

import os
import platform
import sys
import uuid
from pathlib import Path

from .._errors import StoreError

NETWORK_FILE_SYSTEMS = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "smb",
        "afs",
        "afpfs",
        "ncpfs",
        "coda",
        "davfs",
        "webdav",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.davfs",
        "fuse.davfs2",
        "fuse.smbnetfs",
        "fuse.rclone",
        "fuse.s3fs",
    )
)


def machine_id() -> str:
    """Name this machine as stably as its system allows."""
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if len(text) >= 16:
            return text
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            pass
    hardware = uuid.getnode()
    invented = hardware >> 40 & 1  # the multicast bit marks a random number, other in every process
    return platform.node() if invented else f"{platform.node()}-{hardware:012x}"


def real_path(path: Path) -> str:
    """Give the path that names a folder whatever link led to it."""
    return os.path.realpath(path)


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Name the network file system that holds `path`, or None where it is a local one.

    `mounts` is the text of /proc/mounts; by default this machine's own is read.
    """
    where = real_path(path)
    if sys.platform == "win32":
        import ctypes

        drive = os.path.splitdrive(where)[0]
        remote = drive.startswith("\\\\") or ctypes.windll.kernel32.GetDriveTypeW(drive + "\\") == 4
        return "a Windows share" if remote else None
    kind = _file_system(where, _mounts() if mounts is None else _parse_mounts(mounts))
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def _file_system(where: str, mounts: list[tuple[str, str]]) -> str | None:
    kind, longest = None, -1
    for point, file_system in mounts:
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of several mounts on one point the last is on top
            kind, longest = file_system, len(point)
    return kind


def _mounts() -> list[tuple[str, str]]:
    try:
        return _parse_mounts(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        import psutil

        return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


def _parse_mounts(text: str) -> list[tuple[str, str]]:
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 3:
            point = fields[1]
            for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                point = point.replace(code, character)
            mounts.append((point, fields[2]))
    return mounts


def refuse_network(path: Path) -> None:
    """Raise StoreError where `path` lies on a network file system."""
    kind = network_file_system(path)
    if kind is not None:
        raise StoreError(
            f"{path} lies on a network file system ({kind}), whose locks cannot keep two programs from "
            "taking the same bits: put the store on a local disk"
        )
