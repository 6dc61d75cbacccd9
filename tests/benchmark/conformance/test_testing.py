"""`oodbench.testing`, as a package elsewhere uses it, and methods of the other families."""

import random
from dataclasses import dataclass

import pytest
import torch
from kept_registry import keep_registry
from written_methods import write

from benchmark.conformance import objectives
from benchmark.conformance.suite import check_named, every_method, methods_called
from methods.base import Objective, Paper
from methods.errors import BrokenMethod
from methods.registry import family, register
from oodbench import testing

PAPER = Paper("Nothing", "N. Nobody", "ICNN", 2020)


@pytest.fixture(autouse=True)
def _kept(monkeypatch):
    keep_registry(monkeypatch)


def test_a_conforming_detector_of_another_package_passes(tmp_path, monkeypatch):
    before = torch.get_rng_state(), torch.get_num_threads()
    testing.assert_conforms(write(tmp_path, monkeypatch))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_errors_are_told_a_line_each_and_warnings_pass(tmp_path, monkeypatch):
    cls = write(tmp_path, monkeypatch, score="distances - distances.mean()")
    with pytest.raises(AssertionError, match="Written does not conform:\nerror: detectors/written_") as told:
        testing.assert_conforms(cls)
    found = testing.check_method(cls)
    errors = [str(one) for one in found if one.severity is testing.Severity.ERROR]
    assert str(told.value).splitlines()[1:] == errors
    assert any(": batch: in batches of 1 it changes 40 of 40 scores" in error for error in errors)
    testing.assert_conforms(write(tmp_path, monkeypatch, score="distances / (h.amax(dim=1) != 0)"))


def test_what_is_no_method_is_refused():
    with pytest.raises(TypeError, match="is none of: Detector"):
        testing.check_method(int)


@pytest.mark.parametrize("folder", ["attacks", "noise_models", "profiles", "samplers"])
def test_methods_of_the_other_families_keep_the_contract_and_have_their_docstrings(folder):
    for name in family(folder):
        assert [str(one) for one in check_named(folder, name)] == []


def test_objectives_and_corrections_have_their_docstrings():
    for cls in (*family("objectives").values(), *family("corrections").values()):
        contributed = objectives.Contributed(cls)
        said = (*objectives.contract.CHECKS, *objectives.texts.CHECKS)
        assert [str(one) for check in said for one in check(contributed)] == []


def test_methods_are_found_by_name():
    assert methods_called("knn") == [("detectors", "knn")]
    assert methods_called("nothing") == []
    assert len(every_method()) > 100


def test_a_method_that_cannot_be_loaded_is_an_error(monkeypatch):
    def broken(*_):
        raise BrokenMethod("detector 'x' could not be loaded: SyntaxError")

    monkeypatch.setattr("benchmark.conformance.suite.method_class", broken)
    (found,) = check_named("detectors", "x")
    assert (found.check, found.severity) == ("loads", "error")
    assert "SyntaxError" in found.message


def objective_of(does, named=("msp",)):
    @register("toy_of_tests")
    @dataclass(frozen=True)
    class Toy(Objective):
        """Nothing (Nobody 2020).

        .. math:: L = 0

        Deviations from the paper: none.
        """

        paper = PAPER
        detectors = named
        loss = does

    return Toy


def constant(self, network, batch, modules):
    return 0 * network(batch.images).sum() + 1


def by_chance(self, network, batch, modules):
    noise = random.random()  # not of `batch.rng`
    return torch.nn.functional.cross_entropy(network(batch.images + noise), batch.labels)


def remembering(self, network, batch, modules):
    object.__setattr__(self, "seen", getattr(self, "seen", 0) + 1)
    return torch.nn.functional.cross_entropy(network(batch.images), batch.labels) / self.seen


def infinite(self, network, batch, modules):
    return network(batch.images).sum() * float("inf")


CHECKS = {check.name: check for check in objectives.CHECKS}


@pytest.mark.parametrize(
    ("loss", "by"),
    [
        (constant, "loss falls"), (constant, "weights"), (infinite, "loss falls"), (by_chance, "repeats"),
        (remembering, "state"),
    ],
)  # fmt: skip
def test_an_objective_that_breaks_its_contract_is_caught(loss, by):
    subject = objectives.Training(objective_of(loss))
    found = CHECKS[by](subject)
    assert found
    assert {one.check for one in found} == {by}


def test_detectors_of_an_objective_must_exist():
    found = CHECKS["declares"](objectives.Training(objective_of(constant, ("x1",))))
    assert "no detector 'x1'" in found[0].message
