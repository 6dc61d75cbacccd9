"""Names that other libraries and papers give our methods, and the table of them in docs/names.md."""

import re
from pathlib import Path

import pytest

from methods.names import borne_by
from methods.registry import (
    FAMILIES,
    UnknownMethod,
    detector,
    detector_class,
    detectors,
    family,
    known_as,
    objective,
)

TABLE = Path(__file__).parents[2] / "docs" / "names.md"
# Classes of pytorch-ood that the table says are not here, or mean something else.
NOT_HERE = {"Detector", "EnsembleDetector", "MahalanobisODIN", "WeightedEBO", "MCD"}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("mls", "max_logit"),  # OpenOOD
        ("ebo", "energy"),
        ("mds", "mahalanobis"),
        ("rmds", "relative_mahalanobis"),
        ("mds_ensemble", "mahalanobis_ensemble"),
        ("dropout", "mc_dropout"),
        ("MaxSoftmax", "msp"),  # pytorch-ood
        ("EnergyBased", "energy"),
        ("KLMatching", "klm"),
        ("GradUncertainty", "gradient_uncertainty"),
        ("NACUE", "nac"),
        ("i-ODIN", "iodin"),  # papers
        ("ViM", "vim"),
        ("max-logit", "max_logit"),
        ("ts_msp", "temperature_scaling"),
    ],
)
def test_l11_a_known_name_finds_ours(theirs, ours):
    assert detector(theirs).name == ours


def test_l11_hyperparameters_go_with_any_name():
    assert detector("ebo", temperature=2.0) == detector("energy", temperature=2.0)


def test_l11_a_known_name_of_an_objective():
    assert objective("oe").name == "outlier_exposure"
    assert objective("LogitNorm").name == "logit_norm"


def test_l11_our_own_names_are_ours_in_every_family():
    for kind in FAMILIES:
        for name in family(kind):
            assert known_as(name, kind) == name


def test_l11_every_class_of_pytorch_ood_that_we_have_is_found():
    theirs = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood is not installed")
    named = {name for name in vars(theirs) if name[0].isupper() or name == "fDBD"}
    classes = {name for name in named if isinstance(getattr(theirs, name), type)} - NOT_HERE
    assert len(classes) > 25
    assert [name for name in sorted(classes) if known_as(name, "detectors") not in detectors()] == []


@pytest.mark.parametrize("kind", FAMILIES)
def test_l11_no_name_means_two_methods_of_a_family(kind):
    aliases = {name: cls.aliases for name, cls in family(kind).items()}
    for name in [*aliases, *(alias for some in aliases.values() for alias in some)]:
        assert len(borne_by(name, aliases)) == 1


def test_l11_one_name_of_several_methods_asks_which():
    aliases = {"one": ("same",), "two": ("sa_me",), "three": ()}
    assert borne_by("Same", aliases) == ["one", "two"]
    assert borne_by("two", aliases) == ["two"]
    assert borne_by("four", aliases) == []


def test_l11_where_one_name_is_the_rule_the_error_says_which():
    with pytest.raises(UnknownMethod, match=r"no detector 'mls'; here it is 'max_logit'"):
        detector_class("mls")
    with pytest.raises(UnknownMethod, match=r"no detector 'enrgy'; did you mean 'energy'"):
        detector("enrgy")


@pytest.mark.skipif(not TABLE.is_file(), reason=f"no checkout: {TABLE} is not there")
def test_l11_the_table_has_every_name_that_a_method_declares():
    told = {}
    for ours, others in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", TABLE.read_text(), re.MULTILINE):
        told.setdefault(ours, set()).update(re.findall(r"`(\w+)`", others))
    declared = {
        name: set(cls.aliases) for kind in FAMILIES for name, cls in family(kind).items() if cls.aliases
    }
    assert {ours: others for ours, others in told.items() if others} == declared
