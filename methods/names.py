"""Telling a person what a mistyped name should have been, and what failed. It must not import torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from methods.errors import said
from methods.neutral import neutral

NEAREST = 3
MANY = 20  # names that are no help on one line


@neutral
def did_you_mean(name: str, choices: Iterable[str], listed_by: str = "") -> str:
    """Phrase the nearest of `choices` to a mistyped `name`, and all that there are, or how to list them.

    Near is what is written alike, and what has the name as a part. `listed_by` is a command; it stands in the
    place of many names.
    """
    names = list(dict.fromkeys(choices))
    alike = difflib.get_close_matches(name, names, n=NEAREST)
    longer = [other for other in names if len(name) > 2 and name in other]
    longer.sort(key=lambda other: (not other.startswith(name), len(other)))
    near, *others = [repr(other) for other in dict.fromkeys([*alike, *longer])][:NEAREST] or [""]
    hint = f"did you mean {near}? " if near else ""
    hint += f"or {', '.join(others)}? " if others else ""
    if len(names) > MANY and listed_by:
        return f"{hint}`{listed_by}` shows all {len(names)}"
    if len(names) > MANY:
        return f"{hint}there are: {', '.join(names[:MANY])}, … ({len(names)} in all)"
    return f"{hint}there are: {', '.join(names) or 'none'}"


@neutral
def describe(error: BaseException) -> str:
    """Type and message of an error, on one line that can be printed, and not too long."""
    return f"{type(error).__name__}: {said(error)}"


def borne_by(name: str, aliases: Mapping[str, Iterable[str]]) -> list[str]:
    """Which of our names, each with its `aliases`, are meant by `name`; capitals, ``_`` and ``-`` count not.

    One that is written like `name` itself goes before aliases; of aliases there may be several.
    """
    wanted = _plain(name)
    own = [ours for ours in aliases if _plain(ours) == wanted]
    return own or [ours for ours, others in aliases.items() if wanted in map(_plain, others)]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
