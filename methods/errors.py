"""The exceptions of this room.

::

MethodError(Exception)
├── NotApplicable          the network cannot give what the method needs; listed so, never approximated
├── NotFitted              `score` before `fit`
├── HyperparameterError    an unknown hyper-parameter, or a value out of its range
├── InputError             features, a head or images that no method can use: the message names the argument
└── ScoreError             scores of the wrong shape, or not finite
"""

from __future__ import annotations


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
