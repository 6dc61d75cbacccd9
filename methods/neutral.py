"""A mark for what cannot change a number, such as names, messages, and where files are kept."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def neutral(thing: T) -> T:
    """Mark a function or class: results are not outdated by a change of it, nor of what it alone reaches.

    Whoever marks something says that no score, weight or metric depends on what it does. As a decorator of a
    method's class it is not followed either, with its arguments.
    """
    return thing
