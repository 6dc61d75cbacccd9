"""Method files that lack something, take another's name, or end Python: named, left out, the others go on."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from kept_registry import keep_registry

import methods.detectors
import methods.objectives
from methods import families, registry
from methods.base import HyperparameterError
from methods.names import describe
from methods.registry import BrokenMethod, detector, detector_class

HEAD = """
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from methods.base import Detector, Paper, Signal
from methods.registry import register

PUBLISHED = Paper(title="t", authors="a", venue="v", year=2000)

"""
WHOLE = """
@register("{name}")
@dataclass(frozen=True)
class Toy(Detector):
    k: int = 1
    paper = PUBLISHED
    needs = frozenset({{Signal.LOGITS}})

    def score(self, features):
        return self.k * features.logits[:, 0].double()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that counts as part of `methods.detectors`; all that it loads is forgotten again."""
    modules, attributes = set(sys.modules), set(vars(methods.detectors))
    keep_registry(monkeypatch)
    monkeypatch.setattr(methods.detectors, "__path__", [*methods.detectors.__path__, str(tmp_path)])
    yield tmp_path
    for name in set(sys.modules) - modules:
        if "toy" in name:
            del sys.modules[name]
    for name in set(vars(methods.detectors)) - attributes:
        if name.startswith(("toy", "_toy")):
            delattr(methods.detectors, name)


def write(folder, name, source=WHOLE, *changes):
    """Write a method file; each change is a passage of the whole one and what stands in its place."""
    text = HEAD + source.format(name=name)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / f"{name}.py").write_text(text)
    return folder / f"{name}.py"


def entry_point(monkeypatch, module):
    point = EntryPoint("anything", module, "oodbench.methods")
    monkeypatch.setattr(families, "entry_points", lambda *, group: [point] if group == point.group else [])


PAPER, NEEDS, FIELD, SCORE = (
    "    paper = PUBLISHED\n",
    "    needs = frozenset({Signal.LOGITS})\n",
    "k: int = 1",
    "    def score(",
)
CHECK = "    def __post_init__(self):\n        None + 1\n\n    def score("
LATER = "TypeError: defaults: expected numbers that are finite"
INCOMPLETE = [  # what stands in place of what, and the reason that is told
    ([(NEEDS, "")], "TypeError: it has no needs"),
    ([(PAPER, "")], "TypeError: it has no paper"),
    ([(SCORE, "    def skore(")], "TypeError: it has no score"),
    (
        [(PAPER, ""), (NEEDS, ""), (SCORE, "    def skore(")],
        "TypeError: it has no needs and no paper and no score",
    ),
    ([("= PUBLISHED", "= 'A paper'")], "TypeError: paper: expected Paper(...), got 'A paper'"),
    (
        [("= PUBLISHED", "= PUBLISHED\n    aliases = 'mls'")],
        "TypeError: aliases: expected a tuple of names, got 'mls'",
    ),
    (
        [("= PUBLISHED", "= PUBLISHED\n    small = {'z': 2}")],
        "HyperparameterError: toy_bad: no hyper-parameter 'z'; it has: k",
    ),
    ([("frozenset({Signal.LOGITS})", "Signal.LOGITS")], "TypeError: needs: expected a frozenset"),
    ([(FIELD, "k: torch.Tensor = torch.ones(2)")], LATER),
    ([(FIELD, "k: float = float('nan')")], LATER),
    ([(FIELD, "k: np.float32 = np.float32(1)")], LATER),
    ([(FIELD, "k: int = 'x'")], "HyperparameterError: toy_bad.k: expected int, got 'x'"),
    ([(FIELD, "k: int")], "HyperparameterError: toy_bad: TypeError: "),
    ([(SCORE, CHECK)], "HyperparameterError: toy_bad: TypeError: unsupported operand"),
    ([(FIELD, "k: 'Nowhere' = 1")], "NameError: name 'Nowhere' is not defined"),
]


@pytest.mark.parametrize(("changes", "reason"), INCOMPLETE)
def test_r25_a_method_that_lacks_something_is_named_and_left_out(folder, changes, reason):
    write(folder, "toy_bad", WHOLE, *changes)
    write(folder, "toy_good")
    assert "toy_bad" not in registry.detectors()
    assert {"toy_good", "energy"} <= set(registry.detectors())
    (module, told), *others = registry.broken().items()
    assert (module, others) == ("methods.detectors.toy_bad", [])
    assert told.startswith(f"Toy: {reason}")
    with pytest.raises(BrokenMethod, match="detector 'toy_bad' could not be loaded: Toy: "):
        detector("toy_bad")


def test_r25_an_array_as_default_is_refused_by_dataclasses_already(folder):
    write(folder, "toy", WHOLE, (FIELD, "k: object = np.ones(2)"))
    assert registry.broken()["methods.detectors.toy"].startswith("ValueError: mutable default")


def test_r25_a_later_name_of_the_file_is_an_annotation_like_any_other(folder):
    later = "\nfrom __future__ import annotations\n"
    path = write(folder, "toy", WHOLE, (FIELD, "k: Later = 'a'"))
    path.write_text(later + path.read_text() + "\n\nLater = Literal['a', 'b']\n")
    assert detector("toy", k="b").hyperparameters() == {"k": "b"}
    assert registry.broken() == {}


def test_r25_what_lacked_something_and_was_mended_is_found(folder):
    write(folder, "toy", WHOLE, (PAPER, ""))
    assert "methods.detectors.toy" in registry.broken()
    write(folder, "toy", WHOLE, (FIELD, "k: int = 10"))
    assert detector("toy").hyperparameters() == {"k": 10}
    assert registry.broken() == {}


def test_r25_a_method_that_another_imports_is_checked_as_well(folder):
    write(folder, "toy_base", WHOLE, (PAPER, ""))
    path = write(folder, "toy_of_it")
    path.write_text("import methods.detectors.toy_base\n" + path.read_text())
    assert detector("toy_of_it").hyperparameters() == {"k": 1}
    with pytest.raises(BrokenMethod, match="it has no paper"):
        detector("toy_base")


def test_r25_a_file_that_fails_takes_nothing_away_that_it_imported(folder):
    write(folder, "toy_base")
    path = write(folder, "toy_of_it")
    path.write_text("import methods.detectors.toy_base\n" + path.read_text() + "\n1 / 0\n")
    with pytest.raises(BrokenMethod):
        detector("toy_of_it")
    assert detector("toy_base").hyperparameters() == {"k": 1}


def test_r25_a_value_that_a_check_does_not_expect_is_a_clear_error(folder):
    write(folder, "toy", WHOLE, (SCORE, CHECK.replace("None + 1", "1 / (self.k - 3)")))
    with pytest.raises(HyperparameterError, match=r"^toy: ZeroDivisionError: division by zero$"):
        detector("toy", k=3)


def test_r25_what_every_method_of_the_suite_needs_it_has():
    assert registry.broken() == {}
    for family in registry.FAMILIES:
        for cls in registry.family(family).values():
            assert json.dumps(cls.configure({}).hyperparameters(), allow_nan=False)


@pytest.mark.parametrize("name", ["msp", "toy_other"])
def test_r20_the_registered_name_is_that_of_the_file(folder, name):
    path = write(folder, "toy_evil", WHOLE, ('@register("toy_evil")', f'@register("{name}")'))
    msp = detector_class("msp")
    assert registry.detectors()["msp"] is msp
    told = registry.broken()["methods.detectors.toy_evil"]
    assert str(path) in told
    if name == "msp":
        assert f"'msp' is that of {sys.modules[msp.__module__].__file__} already; choose another name" in told
    else:
        assert (
            "registers Toy in detectors as 'toy_other'; expected one method of detectors by the name of"
            in told
        )
        assert told.endswith("the file, 'toy_evil'")


def test_r20_the_file_of_the_name_wins_whichever_is_loaded_first(folder):
    """`energy` may not be loaded yet: the refusal must not depend on that."""
    path = write(folder, "toy_evil", WHOLE, ('@register("toy_evil")', '@register("toy_right")'))
    right = write(folder, "toy_right")
    with pytest.raises(BrokenMethod):
        detector("toy_evil")
    assert detector_class("toy_right").__module__ == "methods.detectors.toy_right"
    told = registry.broken()["methods.detectors.toy_evil"]
    assert f"'toy_right' is that of {right} already" in told
    assert str(path) in told


def test_r13_two_methods_in_one_file_are_an_error_that_names_it(folder):
    path = write(folder, "toy")
    path.write_text(path.read_text() + WHOLE.format(name="toy_two").replace("Toy", "Two"))
    assert not {"toy", "toy_two"} & set(registry.detectors())
    assert (
        f"{path} registers Two in detectors as 'toy_two'; expected one method"
        in registry.broken()["methods.detectors.toy"]
    )


def test_r13_two_classes_by_one_name_are_an_error(folder):
    path = write(folder, "toy")
    path.write_text(path.read_text() + WHOLE.format(name="toy").replace("Toy", "Two"))
    assert (
        f"'toy' is that of {path} already; choose another name for Two"
        in registry.broken()["methods.detectors.toy"]
    )


def test_r13_a_method_in_the_folder_of_another_family_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(methods.objectives, "__path__", [*methods.objectives.__path__, str(folder)])
    monkeypatch.setattr(methods.detectors, "__path__", methods.detectors.__path__[:-1])
    write(folder, "toy")
    told = registry.broken()["methods.objectives.toy"]
    assert "registers Toy in detectors as 'toy'; expected one method of objectives" in told


def test_r13_a_file_without_a_method_is_told(folder):
    (folder / "toy.py").write_text("SHARED = 1\n")
    (folder / "_toy_shared.py").write_text("SHARED = 1\n")
    (told,) = registry.broken().values()
    assert "toy.py registers no method; expected @register('toy'), or a name that begins with '_'" in told


def test_r13_an_entry_point_may_not_take_a_name_of_ours(folder, monkeypatch):
    path = write(folder, "toy_package", WHOLE, ('@register("toy_package")', '@register("knn")'))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(methods.detectors, "__path__", methods.detectors.__path__[:-1])
    entry_point(monkeypatch, "toy_package")
    monkeypatch.setattr(families.families["detectors"], "found", {})  # nothing of ours is loaded yet
    told = registry.broken()["toy_package"]
    assert "detectors: 'knn' is that of " in told
    assert "methods/detectors/knn.py already; choose another name for Toy of " in told
    assert str(path) in told


def test_r13_a_package_may_have_several_methods_of_which_some_are_whole(folder, monkeypatch):
    package = folder / "packages" / "toy_many"
    package.mkdir(parents=True)
    write(package, "toy_one")
    write(package, "toy_two", WHOLE, (PAPER, ""))
    (package / "__init__.py").write_text("import toy_many.toy_one\nimport toy_many.toy_two\n")
    monkeypatch.syspath_prepend(package.parent)
    entry_point(monkeypatch, "toy_many")
    assert "toy_one" in registry.detectors()
    assert registry.broken() == {"toy_many.toy_two": "Toy: TypeError: it has no paper"}


ENDINGS = [
    "import sys; sys.exit(0)",
    "import os; os._exit(0)",
    "raise SystemExit",
    "class E(BaseException): ...\nraise E(1)",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_r17_a_file_that_ends_python_at_import_is_named_and_left_out(folder, ending):
    (folder / "toy_end.py").write_text(ending)
    write(folder, "toy_whole")
    leave = os._exit
    assert {"energy", "toy_whole"} <= set(registry.detectors())
    assert os._exit is leave
    assert registry.broken()["methods.detectors.toy_end"].startswith("ends Python when it is imported: ")


def test_r17_a_child_process_of_a_file_may_end(folder):
    """A child that ends is none of our business, and its end must not run the rest of the parent's code."""
    path = write(folder, "toy")
    child = "import os\nif not (child := os.fork()):\n    os._exit(7)\nSTATUS = os.waitpid(child, 0)[1]\n"
    path.write_text(child + path.read_text())
    cls = detector_class("toy")
    assert os.waitstatus_to_exitcode(sys.modules[cls.__module__].STATUS) == 7


def test_r17_a_person_may_interrupt_the_loading(folder):
    (folder / "toy.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        detector("toy")


@pytest.mark.parametrize("command", [["list", "detectors"], ["show", "energy"]])
def test_r17_listings_go_on_without_the_file(tmp_path, command):
    """In a process of its own: before, it printed nothing and ended with 0."""
    (tmp_path / "toy_end.py").write_text("import os\nos._exit(0)\n")
    program = (
        "import sys, methods.detectors\n"
        f"methods.detectors.__path__.append({str(tmp_path)!r})\n"
        f"sys.argv = ['oodbench', *{command}]\n"
        "import oodbench\noodbench.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "energy" in done.stdout.lower()
    if command[0] == "list":
        assert "toy_end" in done.stdout


def test_r18_a_reason_is_one_line_of_type_and_message():
    assert describe(ValueError("a\nb \x1b[31m")) == "ValueError: a b \\x1b[31m"
