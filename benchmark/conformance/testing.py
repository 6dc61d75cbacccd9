"""`oodbench.testing`: the conformance suite, for methods that live in packages of their own.

::

    from oodbench import testing
    from my_package.my_detector import MyDetector

    def test_it_conforms():
        testing.assert_conforms(MyDetector)
"""

from __future__ import annotations

from benchmark.conformance.findings import Finding, Severity
from benchmark.conformance.suite import check_class
from methods.method import Method

__all__ = ["Finding", "Severity", "assert_conforms", "check_method"]


def check_method(cls: type[Method]) -> list[Finding]:
    """All that the suite finds of a registered method: detectors and objectives are run on small worlds.

    A few seconds for a detector, up to a minute for an objective; nothing is downloaded.

    Raises
    ------
    TypeError
        If it is no method.
    """
    return list(check_class(cls))


def assert_conforms(cls: type[Method]) -> None:
    """Raise `AssertionError` with a line for each error that the suite finds; warnings and notes pass."""
    errors = [str(one) for one in check_class(cls) if one.severity is Severity.ERROR]
    if errors:
        raise AssertionError("\n".join([f"{cls.__qualname__} does not conform:", *errors]))
