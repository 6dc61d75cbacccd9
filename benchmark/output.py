"""Standard output and error that nothing said on them can end the work.

A reader may go away, a disk may be full, a terminal may know ASCII alone. The work is what counts: what
cannot be said is dropped, the first failure is kept, and the command line tells of it in the end.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from typing import Any, TextIO, cast

_PLAINER = {
    "–": "-", "—": "-", "−": "-", "“": '"', "”": '"', "‘": "'", "’": "'", "×": "x", "·": "*", "→": "->",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "‖": "||", "∑": "sum", "⟨": "<", "⟩": ">", "√": "sqrt",
}  # fmt: skip


class Output:
    """A text stream whose failures are kept in `failure` and not raised; in all else it is that stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or drop what follows a failure."""
        if self.failure is None:
            try:
                return self.stream.write(text)
            except OSError as error:
                self.failure = error
        return len(text)

    def flush(self) -> None:
        """Flush, unless it has failed."""
        if self.failure is None:
            try:
                self.stream.flush()
            except OSError as error:
                self.failure = error

    def settle(self) -> OSError | None:
        """Flush a last time; return the failure, after which Python's own last flush finds nothing wrong."""
        self.flush()
        if self.failure is not None and isinstance(self.stream, io.TextIOWrapper):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        return self.failure


def guard_output() -> tuple[Output, Output]:
    """Put an `Output` in the place of standard output and standard error, and return both.

    Characters that the stream's encoding does not have are replaced by plainer ones.
    """
    codecs.register_error("plainer", _plainer)
    guarded = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this process
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainer")
        guarded.append(Output(stream))
        setattr(sys, name, cast(TextIO, guarded[-1]))
    return guarded[0], guarded[1]


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: ``ŷ`` becomes ``y``, ``→`` becomes ``->``, what has nothing like it ``?``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    said = ""
    for character in error.object[error.start : error.end]:
        alike = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
        said += _PLAINER.get(character) or alike or ("" if unicodedata.combining(character) else "?")
    return said, error.end
