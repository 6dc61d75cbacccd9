"""What is read of a method's file without running it is what its class says."""

import inspect
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from places import ROOT

from methods import cards, families, registry
from methods.base import Detector, EnsembleDetector, GradientDetector
from methods.cards import KINDS, MethodCard, kind_of, moves_images
from methods.objective import Objective

METHODS = [(family, name) for family in registry.FAMILIES for name in registry.family(family)]
FOREIGN = '''
from dataclasses import dataclass
from pathlib import Path
from oodbench import Detector, Paper, Signal, register
raise SystemExit("it was run")


@register("toy")
@dataclass(frozen=True)
class Toy(Detector):
    """A toy of another package."""

    k: int = 2 * 3
    where: Path = Path("x")
    paper = Paper("Toys", "A. Author", "ICTOY", 2020)
    needs = frozenset({Signal.PENULTIMATE, Signal.LOGITS})

    def fit(self, train, val, head, rng=None):
        return self.with_state(mean=train.penultimate.mean(dim=0), other=rng)
'''


@pytest.fixture(autouse=True)
def afresh():
    cards.cards.cache_clear()
    yield
    cards.cards.cache_clear()


def foreign(tmp_path, monkeypatch, text, module="toy_of_others"):
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("toy", module, cards.GROUP), EntryPoint("none", "not_installed", cards.GROUP)]
    monkeypatch.setattr(cards, "entry_points", lambda *, group: points)


def test_cards_need_no_torch():
    code = (
        "import sys; from methods.cards import FAMILIES, cards\n"
        "print(sum(len(cards(family)) for family in FAMILIES) > 100, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "True False"


def test_every_method_has_a_card_and_families_are_those_of_the_registry():
    assert cards.FAMILIES == registry.FAMILIES
    assert cards.GROUP == registry.GROUP
    found = [(family, name) for family in cards.FAMILIES for name in cards.cards(family)]
    assert found == METHODS
    by_base = {base.__name__: family.folder for family in families.families.values() for base in family.bases}
    assert by_base == cards._BASES


@pytest.mark.parametrize(("family", "name"), METHODS)
def test_a_card_says_what_the_class_says(family, name):
    card, cls = cards.cards(family)[name], registry.method_class(family, name)
    assert inspect.cleandoc(card.doc) == inspect.cleandoc(cls.__doc__ or "")
    assert card.paper == cls.paper
    assert card.aliases == cls.aliases
    defaults = cls.configure({}).hyperparameters()
    assert {key: eval(text) for key, _, text in card.hyperparameters} == defaults
    assert set(card.bases) >= {base.__name__ for base in cls.__mro__[1:] if base.__module__ != "builtins"} - {
        "ABC",
        "Generic",
    }
    if issubclass(cls, Detector | EnsembleDetector):
        assert card.needs == cls.configure({}).requires
    elif issubclass(cls, Objective):
        assert card.needs == tuple(sorted(cls.needs))
    else:
        assert card.needs == ()
    assert (ROOT / card.source).samefile(inspect.getsourcefile(cls))
    line = (ROOT / card.source).read_text().splitlines()[card.line - 1]
    assert line.startswith(f"class {cls.__name__}(")
    plain = {key: getattr(cls, key) for key in card.attributes}
    assert {key: value for key, value in plain.items() if value != card.attributes[key]} == {}


@pytest.mark.parametrize("name", cards.cards("detectors"))
def test_a_detector_is_of_one_kind_by_what_it_needs_most(name):
    card, cls = cards.cards("detectors")[name], registry.detector_class(name)
    assert kind_of(card) in KINDS
    made = cls.configure({})
    steps = isinstance(made, GradientDetector) and (made.step > 0 or made.chooses_step)
    assert moves_images(card) == steps
    assert (kind_of(card) == "gradients") == steps
    assert (kind_of(card) == "several networks") == issubclass(cls, EnsembleDetector)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("energy", "logits"),
        ("domain", "logits"),
        ("vim", "features"),
        ("gradnorm", "features"),  # in closed form
        ("mahalanobis", "features"),
        ("gram", "stages"),
        ("rankfeat", "stages"),
        ("mahalanobis_ensemble", "stages"),
        ("odin", "gradients"),
        ("godin", "gradients"),
        ("ensemble", "several networks"),
    ],
)
def test_kinds_of_some(name, kind):
    assert kind_of(cards.cards("detectors")[name]) == kind


def test_an_objective_that_is_given_outliers_decides_the_kind():
    objectives, energy = cards.cards("objectives"), cards.cards("detectors")["energy"]
    assert kind_of(energy, objectives["outlier_exposure"]) == "outliers"
    assert kind_of(energy, objectives["mtc"]) == "outliers"  # unlabelled images, some of which are
    assert kind_of(energy, objectives["logit_norm"]) == "logits"


def test_what_fit_looks_at():
    found = cards.cards("detectors")
    assert found["energy"].fits == ()
    assert found["knn"].fits == ("train",)
    assert found["klm"].fits == ("val",)
    assert found["mc_dropout"].fits == ("head", "rng")
    assert found["prob_knn"].fits == ("train",)  # of the class that it derives from


def test_text_of_fields():
    found = {card.name: card for card in cards.cards("attacks").values()}
    assert found["pgd"].hyperparameters[0] == ("epsilon", "float", "8 / 255")
    statistic = cards.cards("detectors")["ensemble"].hyperparameters[1]
    assert statistic.annotation.startswith("Literal['msp'")


def test_a_method_of_another_package_is_read_and_not_run(tmp_path, monkeypatch):
    foreign(tmp_path, monkeypatch, FOREIGN)
    card = cards.cards("detectors")["toy"]
    assert card.hyperparameters == (("k", "int", "2 * 3"), ("where", "Path", "Path('x')"))
    assert (card.doc, card.source, card.needs) == (
        "A toy of another package.",
        "toy_of_others",
        ("logits", "penultimate"),
    )
    assert card.paper is not None
    assert (card.paper.title, card.paper.year, card.paper.arxiv) == ("Toys", 2020, None)
    assert card.fits == ("train", "rng")
    assert "energy" in cards.cards("detectors")


@pytest.mark.parametrize("text", ["class (", "\0", FOREIGN + "from toy_of_others import Detector\n", ""])
def test_what_cannot_be_read_is_skipped(tmp_path, monkeypatch, text):
    foreign(tmp_path, monkeypatch, text)
    assert [*cards.cards("detectors")] == [*registry.detectors()]


def test_ours_go_before_those_of_others(tmp_path, monkeypatch):
    foreign(tmp_path, monkeypatch, FOREIGN.replace('"toy"', '"energy"'))
    assert cards.cards("detectors")["energy"].source == "methods/detectors/energy.py"


def test_a_card_of_a_method_that_nobody_has_is_empty():
    assert MethodCard("detectors", "gone").needs == ()


def test_the_text_of_cards_is_the_same_in_every_process():
    code = (
        "from methods.cards import FAMILIES, cards; "
        "print(''.join(card.text for family in FAMILIES for card in cards(family).values()))"
    )
    texts = set()
    for seed in ("1", "2", "3"):  # of the order of sets
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        texts.add(ran.stdout)
    assert len(texts) == 1
    assert b"frozenset" not in texts.pop()
