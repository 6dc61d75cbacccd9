"""Run in a sandbox on trial: says whether the network, files outside and other processes are out of reach.

It is a script of its own, without our packages: ``probe.py PORT FOLDER``, of a server and a folder outside.
"""

from __future__ import annotations

import os
import socket
import sys


def reachable(port: int, folder: str) -> str:
    """What can be reached that should not; empty if nothing can."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        pass
    else:
        return "the network can be reached"
    for place in (folder, os.path.dirname(os.path.abspath(__file__)), "/", "/usr", "/dev"):  # noqa: PTH100, PTH120
        try:
            with open(os.path.join(place, "probe"), "w"):  # noqa: PTH118, PTH123
                return f"{place} can be written"
        except OSError:
            pass
    if os.path.exists(folder):  # noqa: PTH110
        return "files of others can be seen"
    if os.getppid() > 5 or os.getpid() > 5:
        return "other processes can be seen"
    with open("/proc/self/status") as status:  # noqa: PTH123
        said = dict(line.rstrip("\n").split(":", 1) for line in status)
    if int(said["CapEff"], 16) or int(said["CapBnd"], 16) or int(said["NoNewPrivs"]) != 1:
        return "capabilities are left"
    return ""


if __name__ == "__main__":
    found = reachable(int(sys.argv[1]), sys.argv[2])
    print(found or "confined")  # noqa: T201 - the answer
    sys.exit(1 if found else 0)
