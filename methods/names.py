"""Telling a person what a mistyped name should have been, and what failed. It must not import torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Phrase the nearest of `choices` to a mistyped `name`, and all that there are."""
    names = list(choices)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}there are: {', '.join(names) or 'none'}"


LONGEST_REASON = 2_000  # characters: an error of a contributed file may have any message, or none


def describe(error: BaseException) -> str:
    """Type and message of an error, on one line that can be printed, and not too long."""
    try:
        message = str(error)
    except Exception as failure:  # its `__str__` is code of the file, too
        message = f"(its message fails with {type(failure).__name__})"
    words = " ".join(message[: 2 * LONGEST_REASON].split())
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in f"{type(error).__name__}: {words}")
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"
