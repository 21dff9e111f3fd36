"""Files that can be mapped: their file system keeps everyone from writing to them and from cutting them off.

A mapped file is not copied, so that it takes neither the time nor the memory. What is mapped changes where the file
does, and a process that reads beyond a new end is killed: only a file that nobody can change may be mapped.
"""

from __future__ import annotations

import sys

READ_FLAGS = 0x80086601
"""`FS_IOC_GETFLAGS` of Linux."""
IMMUTABLE, VERITY = 0x10, 0x100000
"""`FS_IMMUTABLE_FL`, which `chattr +i` sets and only an administrator takes away; `FS_VERITY_FL`, which stays."""


def unchangeable(descriptor: int) -> bool:
    """Return whether the file system refuses every change to an open file. False where it cannot tell."""
    if sys.platform != "linux":
        return False
    from fcntl import ioctl

    try:
        flags = ioctl(descriptor, READ_FLAGS, bytes(8))
    except OSError:
        return False
    return bool(int.from_bytes(flags[:4], sys.byteorder) & (IMMUTABLE | VERITY))
