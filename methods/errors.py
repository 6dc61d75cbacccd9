"""The exceptions of this room, and what an exception of any room says to people.

::

MethodError(Exception)
├── NotApplicable          the network cannot give what the method needs; listed so, never approximated
├── NotFitted              `score` before `fit`
├── HyperparameterError    an unknown hyper-parameter, or a value out of its range
├── InputError             features, a head or images that no method can use: the message names the argument
├── ScoreError             scores of the wrong shape, or not finite
├── ChangedInputs          a method changed the network, or the images, that others share with it
└── UnknownMethod          no method of that name is registered
    └── BrokenMethod       there is a file of that name, and it could not be loaded, or lacks something
"""

from __future__ import annotations

from methods.neutral import neutral

LONGEST = 2000  # characters of a message that are kept: reasons stand in tables and in records


class MethodError(Exception):
    """Any failure of a method that its author or its user can mend."""


class NotApplicable(MethodError):  # noqa: N818 - the field's word for it; it is not a defect
    """The network cannot give what the method needs. The message is the reason shown in the tables."""


class NotFitted(MethodError):  # noqa: N818
    """`score` was called on a method that learns state before `fit`."""


class HyperparameterError(MethodError, ValueError):
    """An unknown hyper-parameter, or a value of the wrong type or out of range."""


class InputError(MethodError, ValueError):
    """Features, a head or images of the wrong form or not finite, or an argument that is missing."""


class ScoreError(MethodError):
    """A detector returned scores of the wrong shape or not finite."""


class ChangedInputs(MethodError):  # noqa: N818
    """A method changed the network, or the images, that others share with it."""


class UnknownMethod(MethodError, LookupError):  # noqa: N818
    """No method of that name is registered."""


class BrokenMethod(UnknownMethod):
    """There is a file of that name, and it could not be loaded, or its method lacks something."""


@neutral
def said(error: BaseException) -> str:
    """What an error says, `printable`; its own ``__str__`` may fail in any way."""
    try:
        return printable(str(error))
    except BaseException as another:  # whoever asks is dealing with a failure already
        return f"what it says cannot be read ({type(another).__name__})"


@neutral
def printable(text: str, *, line_ends: bool = False) -> str:
    r"""Make of text what any terminal, page and JSON file can hold.

    Control characters, the sequences that colour a terminal, marks that turn the direction of writing, and
    halves of surrogate pairs are written out, such as ``\x1b``; a byte of a path, if no UTF-8, is ``\xff``.
    It is one line of at most some kB, in which line ends and tabs are spaces. With `line_ends` those stay,
    tabs are written out, and all of the text is kept.
    """
    if line_ends:
        return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)
    kept = "".join(c if c.isprintable() else " " if c.isspace() else _escape(c) for c in text[:LONGEST])
    if len(text) <= LONGEST and len(kept) <= LONGEST:
        return kept
    return f"{kept[:LONGEST]}… ({len(text)} characters)"


@neutral
def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python has the bytes of a path that cannot be decoded
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
