"""Telling a person what a mistyped name should have been. It must not import torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Phrase the nearest of `choices` to a mistyped `name`, and all that there are."""
    names = list(choices)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}there are: {', '.join(names) or 'none'}"
