"""What holds for every registered detector. Nothing is written for one: a new file is tested by being there.

The checks are those of `benchmark.conformance`, which `oodbench check` and `oodbench.testing` run as well.
"""

import pytest

from benchmark.conformance import cost
from benchmark.conformance.detectors import CHECKS
from benchmark.conformance.subject import subject_of
from methods.registry import broken, detectors

DETECTORS = detectors()
HOLD = [check for check in CHECKS if check not in cost.CHECKS]  # what it costs is no matter of passing


def test_every_file_loads():
    assert broken() == {}
    assert DETECTORS


@pytest.mark.parametrize("check", HOLD, ids=[check.name for check in HOLD])
@pytest.mark.parametrize("cls", DETECTORS.values(), ids=DETECTORS)
def test_it_conforms(cls, check):
    assert list(map(str, check(subject_of(cls)))) == []
