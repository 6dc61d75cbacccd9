"""Long-tail profiles and samplers are found, and say what they are."""

import inspect

import pytest
from imbalance_examples import PROFILES, SAMPLERS

from methods.base import HyperparameterError
from methods.imbalance import Profile, Sampler
from methods.registry import broken


def test_the_files_can_be_loaded():
    assert not [m for m in broken() if m.startswith(("methods.profiles", "methods.samplers"))]
    assert PROFILES.keys() >= {"exp", "power", "step"}
    assert SAMPLERS.keys() >= {"oversample", "smote", "undersample"}


@pytest.mark.parametrize("cls", [*PROFILES.values(), *SAMPLERS.values()], ids=[*PROFILES, *SAMPLERS])
def test_it_says_what_it_is(cls):
    assert issubclass(cls, Profile | Sampler)
    assert cls.paper.title
    assert cls.paper.year > 1900
    assert "Deviations from the paper:" in inspect.getdoc(cls)
    with pytest.raises(HyperparameterError, match="no hyper-parameter 'nonsense'"):
        cls.configure({"nonsense": 1})
