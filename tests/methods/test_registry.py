"""Finding methods: by name, in files, through entry points; and what happens to files that do not load."""

import ast
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from kept_registry import keep_registry

import methods
import methods.detectors
from methods import families, registry
from methods.base import HyperparameterError
from methods.objectives.cross_entropy import CrossEntropy
from methods.registry import UnknownMethod, detector, detector_class, objective, register

TOY = """
from dataclasses import dataclass
from methods.base import Detector, Paper
from methods.registry import register

@register("{name}")
@dataclass(frozen=True)
class Toy(Detector):
    paper = Paper(title="t", authors="a", venue="v", year=2000)
    needs = frozenset()

    def score(self, features):
        return features.logits[:, 0].double()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that counts as part of `methods.detectors`; all that it loads is forgotten again."""
    modules, attributes = set(sys.modules), set(vars(methods.detectors))
    keep_registry(monkeypatch)
    monkeypatch.setattr(methods.detectors, "__path__", [*methods.detectors.__path__, str(tmp_path)])
    yield tmp_path
    for name in set(sys.modules) - modules:
        if name.startswith(("methods.detectors.toy", "toy")):
            del sys.modules[name]
    for name in set(vars(methods.detectors)) - attributes:
        if name.startswith("toy"):
            delattr(methods.detectors, name)


def write(folder, file, name=None, source=TOY):
    (folder / f"{file}.py").write_text(source.format(name=name or file))


def test_a_name_gives_the_detector_at_its_published_defaults():
    energy = detector("energy")
    assert (type(energy).__name__, energy.hyperparameters()) == ("Energy", {"temperature": 1.0})
    assert detector("energy", temperature=2).hyperparameters() == {"temperature": 2}


def test_a_name_gives_the_objective():
    assert objective("cross_entropy") == CrossEntropy()
    assert registry.objectives()["cross_entropy"] is CrossEntropy


def test_a_mistyped_name_is_answered_with_the_nearest():
    with pytest.raises(
        UnknownMethod, match=r"no detector 'enrgy'; did you mean 'energy'\?.* list detectors`"
    ):
        detector("enrgy")
    with pytest.raises(UnknownMethod, match=r"no objective 'energy'; did you mean 'energy_finetune'"):
        objective("energy")


def test_an_unknown_method_is_a_lookup_error():
    assert issubclass(UnknownMethod, LookupError)


@pytest.mark.parametrize(
    ("name", "hyperparameters", "message"),
    [
        ("energy", {"temprature": 1.0}, "energy: no hyper-parameter 'temprature'; it has: temperature"),
        ("msp", {"temperature": 1.0}, "msp: no hyper-parameter 'temperature'; it has: none"),
        ("knn", {"bank": None}, "knn: no hyper-parameter 'bank'; it has: k"),
        ("energy", {"temperature": "1"}, "energy.temperature: expected float, got '1'"),
        ("energy", {"temperature": True}, "energy.temperature: expected float, got True"),
        ("energy", {"temperature": 0}, "energy: temperature: expected a finite number above 0, got 0"),
        ("knn", {"k": 1.5}, r"knn.k: expected int \| None, got 1.5"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(name, hyperparameters, message):
    with pytest.raises(HyperparameterError, match=f"^{message}$"):
        detector(name, **hyperparameters)


def test_a_choice_that_there_is_not_is_refused_with_the_choices():
    with pytest.raises(HyperparameterError, match=r"gradnorm\.norm: expected .*l1.*l2.*linf.*, got 'l3'"):
        detector("gradnorm", norm="l3")


def test_a_new_file_is_found(folder):
    write(folder, "toy")
    assert detector_class("toy").name == "toy"
    assert "toy" in registry.detectors()


def test_one_name_loads_one_file(folder):
    write(folder, "toy_a")
    write(folder, "toy_b")
    detector_class("toy_a")
    assert "methods.detectors.toy_b" not in sys.modules


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import not_a_module_at_all", "ModuleNotFoundError: No module named 'not_a_module_at_all'"),
        ("def broken(:", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_file_keeps_no_other_from_being_found(folder, source, error):
    write(folder, "toy_broken", source=source)
    write(folder, "toy_whole")
    assert {"energy", "toy_whole"} <= set(registry.detectors())
    assert "toy_broken" not in registry.detectors()
    assert registry.broken()["methods.detectors.toy_broken"].startswith(error)
    with pytest.raises(UnknownMethod, match=f"detector 'toy_broken' could not be loaded: {error}"):
        detector("toy_broken")


def test_a_file_that_was_mended_is_broken_no_longer(folder):
    write(folder, "toy", source="1 / 0")
    assert "methods.detectors.toy" in registry.broken()
    write(folder, "toy")
    assert "toy" in registry.detectors()
    assert registry.broken() == {}


def test_a_private_file_is_no_method(folder):
    write(folder, "_toy_helper", source="1 / 0")
    assert registry.broken() == {}


def test_a_name_is_taken_once(folder):
    write(folder, "toy", name="energy")
    energy = detector_class("energy")
    assert registry.detectors()["energy"] is energy
    taken = f"ValueError: detectors: 'energy' is that of {sys.modules[energy.__module__].__file__} already; "
    advice = f"choose another name for Toy of {folder / 'toy.py'}"
    assert registry.broken() == {"methods.detectors.toy": taken + advice}


@pytest.mark.parametrize("name", ["", "Energy", "max-logit", "2nd", "../up", "énergie", "energy\n", "a.b"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ValueError, match="expected lower_snake_case"):
        register(name)


def test_only_methods_are_registered():
    with pytest.raises(TypeError, match="int is none of: Detector, EnsembleDetector, "):
        register("toy")(int)


def entry_point(monkeypatch, module):
    point = EntryPoint("anything", module, "oodbench.methods")
    monkeypatch.setattr(families, "entry_points", lambda *, group: [point] if group == point.group else [])


def test_another_package_offers_methods_through_an_entry_point(folder, monkeypatch):
    write(folder, "toy_package")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(methods.detectors, "__path__", methods.detectors.__path__[:-1])
    entry_point(monkeypatch, "toy_package")
    assert detector_class("toy_package").__module__ == "toy_package"
    assert "toy_package" in registry.detectors()


def test_an_entry_point_that_does_not_load_is_told(folder, monkeypatch):
    entry_point(monkeypatch, "toy_that_is_not_installed")
    assert "energy" in registry.detectors()
    assert registry.broken() == {
        "toy_that_is_not_installed": "ModuleNotFoundError: No module named 'toy_that_is_not_installed'"
    }


def test_methods_import_nothing_of_the_floors_above():
    root = Path(methods.__file__).parent
    sources = sorted(root.rglob("*.py"))
    assert root / "base.py" in sources
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            above = {name.partition(".")[0] for name in names} & {"benchmark", "reports", "oodbench"}
            assert not above, f"{source}:{node.lineno}"


def test_a_union_is_checked_by_its_members():
    with pytest.raises(HyperparameterError, match=r"knn\.k: expected int \| None, got True"):
        detector("knn", k=True)


def test_a_file_that_fails_after_registering_leaves_nothing(folder):
    write(folder, "toy")
    path = next(folder.rglob("toy.py")) if folder.is_dir() else folder
    path.write_text(path.read_text() + "\nraise RuntimeError('half-way')\n")
    assert "toy" not in registry.detectors()
    assert any("half-way" in reason for reason in registry.broken().values())
