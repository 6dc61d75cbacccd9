"""Telling a person what a mistyped name should have been, and what failed. It must not import torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from methods.errors import said


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Phrase the nearest of `choices` to a mistyped `name`, and all that there are."""
    names = list(choices)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}there are: {', '.join(names) or 'none'}"


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
