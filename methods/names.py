"""Telling a person what a mistyped name should have been. It must not import torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NEAREST = 3
MANY = 20  # names that are no help on one line


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
