"""The harness's exceptions; their messages are written for the person at the command line.

::

    OodbenchError              exit code 1
    ├── UsageError             exit code 2: an argument, a file or a key that the user wrote
    │   └── SpecError          leaderboard.yaml: names file, line and key
    │       └── MethodLeftOut  it names a method whose file is broken: what uses it is left out
    ├── StorageError           the cache, the results or the site could not be written or read
    │   └── DamagedArtifact    a cached file does not match its checksum
    ├── DataError              a dataset or a checkpoint that cannot be used
    ├── ChangedState           a method changed what all jobs of a process share
    ├── ProcessDied            the process that did a job ended without an answer
    └── OutOfMemory            the memory of a device, or of the machine, does not hold what must be computed
"""

from __future__ import annotations


class OodbenchError(Exception):
    """Any failure that is reported without a traceback."""

    exit_code = 1


class UsageError(OodbenchError):
    """The user's input is wrong."""

    exit_code = 2


class SpecError(UsageError):
    """leaderboard.yaml is wrong."""


class MethodLeftOut(SpecError):  # noqa: N818
    """leaderboard.yaml names a method whose file is broken: what uses it is left out, the others go on."""


class StorageError(OodbenchError):
    """A folder cannot be read or written: missing, read-only, full."""


class DamagedArtifact(StorageError):  # noqa: N818
    """A cached file is missing or does not match its checksum. It has been set aside."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason

    def __str__(self) -> str:
        return f"cached artifact {self.key}: {self.reason}"


class DataError(OodbenchError):
    """A dataset or a checkpoint is missing, of the wrong form, or does not fit."""


class ChangedState(OodbenchError):  # noqa: N818
    """A method changed what all jobs of its process share, such as ``torch.softmax`` or the default type."""


class ProcessDied(OodbenchError):  # noqa: N818
    """The process that did a job ended without an answer."""


class OutOfMemory(OodbenchError):  # noqa: N818
    """Memory does not hold what must be computed at once."""
