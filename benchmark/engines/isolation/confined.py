"""The process in a sandbox: does what is computed in jobs of one group, and says how that ended.

It is given jobs by the process that made the sandbox, on its standard input, and answers with lines of JSON
on its standard output: first that it is ready, before it loads any method; then what the jobs took, or what
went wrong. Nobody takes its word for more: see `benchmark.engines.isolation.isolated`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, NoReturn

from benchmark.engines.isolation.limits import Limits
from benchmark.engines.pool import Group
from benchmark.engines.worker import Compute, describe
from benchmark.errors import StorageError
from benchmark.output import guard_output
from benchmark.store.artifacts import Artifact, Draft
from methods.errors import said

READY = {"ready": True}
_PARENT_DEATH = 1  # number of prctl's PR_SET_PDEATHSIG


class Request(NamedTuple):
    """What is to be done, and with how much."""

    jobs: Group
    inputs: Mapping[str, Artifact]
    drafts: tuple[Draft, ...]
    compute: Compute
    limits: Limits
    libraries: tuple[str, ...]  # to load before it is ready, so that their seconds are not the jobs'


def main() -> NoReturn:
    """Do one request, and end."""
    if sys.platform == "linux":  # in a sandbox the first process ends with its parent, and this one with it
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    request: Request = Connection(os.dup(0), writable=False).recv()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    guard_output()
    for library in request.libraries:
        __import__(library)
    request.limits.accept()
    answers.write(json.dumps(READY) + "\n")
    answers.write(json.dumps(_answer(request)) + "\n")
    answers.flush()
    os._exit(0)  # whatever threads there are


def _answer(request: Request) -> dict[str, Any]:
    try:
        return {"took": request.compute(request.jobs, request.inputs, request.drafts)}
    except StorageError as error:
        return {"storage": said(error)}
    except BaseException as error:  # a method may fail in any way; the answer tells
        return {"failed": describe(error)}


if __name__ == "__main__":
    main()
