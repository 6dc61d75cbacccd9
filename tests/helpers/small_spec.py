"""The shipped leaderboard, and what the loader says of a bad one."""

import pytest
from places import SHIPPED

from benchmark.errors import SpecError
from benchmark.spec.load import load_spec

needs_checkout = pytest.mark.skipif(not SHIPPED.is_file(), reason=f"no checkout: {SHIPPED} is not there")


def refusal(path):
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    return str(caught.value)
