"""Whether a file is where SQLite's locks and shared memory work, and under one name only.

What it never does: guess; a place nobody can tell about is allowed.
"""

from __future__ import annotations

import os
from typing import Final

_MOUNTS: Final = "/proc/self/mounts"
_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ncpfs", "9p", "ceph"),
        *("lustre", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "gpfs", "beegfs"),
        *("fuse.ceph", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.juicefs", "fuse.rclone"),
        *("fuse.goofys", "fuse.mount-s3", "fuse.blobfuse2"),
    }
)


class NetworkFileSystem(OSError):
    """Raised when a file lies on a network file system: its locks cannot be relied on."""


class SecondName(OSError):
    """Raised when a file has another name, beside which the locks and the log do not lie."""


def refuse_second_name(path: str) -> None:
    """Refuse a database that can be opened under another name.

    Symbolic links are followed before this. A hard link leads to other locks and another log of
    SQLite's: two engines on one file, and each would overwrite what the other has kept.

    Raises:
        SecondName: It has hard links.
    """
    try:
        names = os.stat(path).st_nlink
    except FileNotFoundError:
        return
    if names > 1:
        raise SecondName(
            f"{path} has {names} names (hard links), and its locks and its log lie beside one of"
            " them: keep one name, or make a copy of the file"
        )


def refuse_network(path: str, mounts: str = _MOUNTS) -> None:
    """Refuse a database on a network file system.

    Args:
        path: The database.
        mounts: The list of mounts; systems without one are not checked.

    Raises:
        NetworkFileSystem: With the kind and where it is mounted.
        SecondName: The file itself is mounted there, which is a name that it has elsewhere too.
    """
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as listed:
            lines = [line.split() for line in listed]
    except OSError:
        return
    real = os.path.realpath(path)
    best = ("", "")
    for fields in lines:
        where = fields[1].replace("\\040", " ")
        inside = real == where or real.startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best[0]):
            best = (where, fields[2])
    if best[0] == real:
        raise SecondName(
            f"{path} is mounted by itself, so its locks and its log would stay behind:"
            " mount its folder"
        )
    if best[1] in _NETWORK:
        raise NetworkFileSystem(
            f"{path} is on {best[1]} ({best[0]}), where SQLite cannot lock safely;"
            " choose a local disk"
        )
