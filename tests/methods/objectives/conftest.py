import pytest
from logit_objective_examples import Network


@pytest.fixture
def network():
    return Network()
