"""Run by `unshare` as the first process of new namespaces: makes a sandbox's files and becomes its program.

It is a script of its own, without our packages: ``enter.py SCRATCH FOLDER BINDS PROGRAM...``. FOLDER is the
one to work in; BINDS is JSON, of each file or folder its real path, the one by which it is seen, and whether
it may be written. The new root is a tmpfs that holds these, ``/proc``, a few devices and a ``/tmp``, all but
what may be written read-only; the old root is gone, and so are all capabilities.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC = 1, 2, 4, 8, 32, 4096, 16384
_DETACH = 2
_MOUNT_SETATTR, _RECURSIVE, _AT_FDCWD = 442, 0x8000, -100  # the number is the same on all architectures
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_NO_NEW_PRIVS, _DROP = 38, 24
_DEVICES = ("null", "zero", "full", "random", "urandom")
_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(_libc.mount(*arguments), f"mount {target}")


def _pivot(new: str, old: str) -> None:
    number = _PIVOT_ROOT[os.uname().machine]
    _checked(_libc.syscall(number, new.encode(), old.encode()), "pivot_root")


def _bind(source: str, target: str, *, writable: bool) -> None:
    if os.path.isdir(source):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    _mount(source, target, flags=_BIND | _REC)
    wanted = _Attributes(attr_set=_NOSUID | (0 if writable else _RDONLY))
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    made = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), _RECURSIVE, ctypes.byref(wanted), size)
    _checked(made, f"protect {target}")


def make_root(scratch: str, folder: str, binds: list[tuple[str, str, bool]]) -> None:
    """Make the root of this process anew."""
    base, new, old = "/tmp", "/new", "/old"  # noqa: S108 - any folder that there is
    _mount("tmpfs", base, "tmpfs", _NOSUID | _NODEV)
    os.mkdir(base + new)  # noqa: PTH102
    os.mkdir(base + old)  # noqa: PTH102
    _pivot(base, base + old)
    os.chdir("/")
    _mount("tmpfs", new, "tmpfs", _NOSUID | _NODEV)
    for place in ("/proc", "/dev"):
        os.mkdir(new + place)  # noqa: PTH102
    _mount("proc", f"{new}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for name in _DEVICES:
        _bind(f"{old}/dev/{name}", f"{new}/dev/{name}", writable=True)
    for place in ("/tmp", "/dev/shm"):  # noqa: S108
        _bind(old + scratch, new + place, writable=True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{new}/dev/{name}")  # noqa: PTH211
    os.symlink("/proc/self/fd", f"{new}/dev/fd")  # noqa: PTH211
    for source, path, writable in binds:
        _bind(old + source, new + path, writable=writable)
    os.makedirs(new + folder, exist_ok=True)  # noqa: PTH103
    _mount("none", new, flags=_REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(new)
    _pivot(".", ".")
    _checked(_libc.umount2(b".", _DETACH), "umount")
    os.chdir(folder)


def drop_capabilities() -> None:
    """Leave none to this process once it becomes another program, nor to what that starts."""
    with open("/proc/sys/kernel/cap_last_cap") as last:  # noqa: PTH123
        for capability in range(int(last.read()) + 1):
            _checked(_libc.prctl(_DROP, capability, 0, 0, 0), "drop capabilities")
    _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


if __name__ == "__main__":
    make_root(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
    drop_capabilities()
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 - our own command
