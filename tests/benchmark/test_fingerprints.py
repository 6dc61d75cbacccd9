"""What changes a fingerprint, and what does not: one that misses an edit would serve stale results."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec
from benchmark.store import fingerprints, syntax
from benchmark.store.fingerprints import code_fingerprint, library_versions

PACKAGE = {
    "__init__": "",
    "root": '''
"""A docstring."""
import math
from acme_ood.near import helper
from . import sibling

LIMIT = 3  # a comment


def run(x):
    """Another."""
    return helper(x) + sibling.constant + LIMIT


def train(x):
    from acme_ood.heavy import step

    return step(x)


class Scorer:
    """A third."""

    def score(self, x):
        return run(x)
''',
    "near": "from .deep.far import scale\n\n\ndef helper(x):\n    return scale * x\n",
    "sibling": "constant = 1\n",
    "heavy": "def step(x):\n    return x\n",
    "unrelated": "value = 1\n",
    "deep/__init__": "",
    "deep/far": "from ..base import one\n\nscale = one\n",
    "base": "one = 1\n",
}


@pytest.fixture
def forget():
    yield fingerprints.forget
    fingerprints.forget()


@pytest.fixture
def package(tmp_path, monkeypatch, forget):
    """The folder of a package `acme_ood`; `edit` rewrites a module of it."""
    folder = tmp_path / "acme_ood"
    for name, source in PACKAGE.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    return folder


@pytest.fixture
def edit(package, forget):
    def change(module, old, new):
        path = package / f"{module}.py"
        source = path.read_text()
        assert old in source
        path.write_text(source.replace(old, new, 1))
        forget()

    return change


ROOT = "acme_ood.root"


def test_a_fingerprint_is_stable_and_short(package, forget):
    before = code_fingerprint(ROOT)
    forget()
    assert code_fingerprint(ROOT) == before
    assert re.fullmatch(r"[0-9a-f]{32}", before)


def test_nothing_is_imported(package):
    import sys

    (package / "near.py").write_text("raise RuntimeError('imported')\n")
    code_fingerprint(ROOT)
    assert not [name for name in sys.modules if name.startswith("acme_ood")]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("root", "# a comment", "# quite another"),
        ("root", '"""A docstring."""', '"""Reworded."""'),
        ("root", '"""Another."""', '"""Reworded\n    at length.\n    """'),
        ("root", '"""A third."""', '"""Reworded."""'),
        ("root", "LIMIT = 3", "\n\n\nLIMIT   =   (\n    3\n)"),
        ("near", "from .deep", "# a comment\nfrom .deep"),
        ("near", "def helper(x):\n", 'def helper(x):\n    """Now with a docstring."""\n'),
        ("unrelated", "value = 1", "value = 2"),
        ("heavy", "return x", "return x  # as it is"),
    ],
)
def test_comments_docstrings_layout_and_other_modules_do_not_count(edit, module, old, new):
    before = code_fingerprint(ROOT)
    edit(module, old, new)
    assert code_fingerprint(ROOT) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("root", "LIMIT = 3", "LIMIT = 4"),
        ("root", "+ LIMIT", "- LIMIT"),
        ("root", "return run(x)", "'no docstring, but its last line'; return -run(x)"),
        ("near", "scale * x", "scale * x * x"),  # from package.module import name
        ("sibling", "constant = 1", "constant = 2"),  # from . import module
        ("deep/far", "scale = one", "scale = 2 * one"),  # from .package.module import name
        ("base", "one = 1", "one = 2"),  # from ..module import name
        ("heavy", "return x", "return x + 1"),  # imported inside a function
    ],
)
def test_code_counts_here_and_in_whatever_is_imported(edit, module, old, new):
    before = code_fingerprint(ROOT)
    edit(module, old, new)
    assert code_fingerprint(ROOT) != before


@pytest.mark.parametrize(
    ("module", "old", "new", "counts"),
    [
        ("heavy", "return x", "return x + 1", True),
        ("root", "return step(x)", "return 2 * step(x)", True),
        ("root", "LIMIT = 3", "LIMIT = 4", False),
        ("root", "+ LIMIT", "- LIMIT", False),
        ("near", "scale * x", "scale * x * x", False),
    ],
)
def test_of_a_function_its_body_and_its_imports_count(edit, module, old, new, counts):
    before = code_fingerprint(f"{ROOT}:train")
    edit(module, old, new)
    assert (code_fingerprint(f"{ROOT}:train") != before) == counts


def test_every_root_counts_and_their_order_does_not(package):
    one, two = code_fingerprint(ROOT), code_fingerprint("acme_ood.unrelated")
    both = code_fingerprint(ROOT, "acme_ood.unrelated")
    assert len({one, two, both}) == 3
    assert code_fingerprint("acme_ood.unrelated", ROOT) == both
    assert code_fingerprint(ROOT, ROOT) == one


HELPER = "def helper(x):\n    return scale * x\n"
NEUTRAL = "from methods.neutral import neutral\n"
MOVES = {
    "a function is moved": [
        ("near", HELPER, ""),
        ("unrelated", "value = 1\n", f"from .deep.far import scale\n\n\n{HELPER}"),
        ("root", "from acme_ood.near import helper", "from acme_ood.unrelated import helper"),
    ],
    "a constant is moved, and asked for otherwise": [
        ("sibling", "constant = 1\n", ""),
        ("base", "one = 1\n", "one = 1\nconstant = 1\n"),
        ("root", "from . import sibling", "from .base import constant"),
        ("root", "sibling.constant", "constant"),
    ],
    "a function gets another name": [
        ("near", "def helper(x):", "def assistant(x):"),
        ("root", "import helper", "import assistant"),
        ("root", "helper(x)", "assistant(x)"),
    ],
    "imports are others": [
        ("root", "import math\n", ""),
        ("root", "import helper", "import helper as h"),
        ("root", "helper(x)", "h(x)"),
    ],
    "what nobody uses is added": [
        ("root", "LIMIT = 3", "LIMIT = 3\nUNUSED = 4\n\n\ndef unused():\n    return UNUSED\n"),
    ],
    "annotations are others": [
        ("root", "LIMIT = 3", "LIMIT: int = 3"),
        ("near", "def helper(x):", "def helper(x: float) -> float:"),
    ],
    "a neutral function is added": [
        ("root", "import math\n", NEUTRAL),
        ("root", "def run(x):", "@neutral\ndef told():\n    return 'what'\n\n\ndef run(x):"),
    ],
}


@pytest.mark.parametrize("what", MOVES)
def test_code_may_be_moved_split_and_renamed(edit, what):
    before = code_fingerprint(f"{ROOT}:Scorer")
    for one in MOVES[what]:
        edit(*one)
    assert code_fingerprint(f"{ROOT}:Scorer") == before


def test_what_is_marked_neutral_is_not_followed(edit):
    edit("near", "def helper(x):", "from methods.neutral import neutral\n\n\n@neutral\ndef helper(x):")
    before = code_fingerprint(f"{ROOT}:Scorer")
    edit("near", "scale * x", "scale * x * x")
    edit("base", "one = 1", "one = 2")
    assert code_fingerprint(f"{ROOT}:Scorer") == before
    edit("root", "helper(x) +", "helper(2 * x) +")
    assert code_fingerprint(f"{ROOT}:Scorer") != before


def test_a_neutral_function_of_a_class_and_a_neutral_decorator_say_nothing(edit):
    edit(
        "root",
        "import math\n",
        "from methods.neutral import neutral\nfrom methods.registry import register\n",
    )
    edit(
        "root",
        "    def score(",
        "    paper = 'One'\n\n    @neutral\n    def told(self):\n        return 1\n\n    def score(",
    )
    edit("root", "class Scorer", "@register('one')\nclass Scorer")
    before = code_fingerprint(f"{ROOT}:Scorer")
    edit("root", "register('one')", "register('two')")
    edit("root", "        return 1", "        return 2")
    edit("root", "'One'", "'Another'")
    assert code_fingerprint(f"{ROOT}:Scorer") == before
    edit("root", "    @neutral\n    def told", "    def told")
    assert code_fingerprint(f"{ROOT}:Scorer") != before


def test_what_describes_a_method_to_people_and_tests_says_nothing(edit):
    before = code_fingerprint(f"{ROOT}:Scorer")
    describes = "    paper = 'One'\n    aliases = ('scorer',)\n    small = {'k': 1}\n"
    edit("root", "    def score(", f"{describes}    def score(")
    assert code_fingerprint(f"{ROOT}:Scorer") == before
    edit("root", "    small = ", "    grid = ")
    assert code_fingerprint(f"{ROOT}:Scorer") != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("helper(x) + sibling", "(lambda helper: helper)(x) + sibling"),  # a local name is none of the module
        ("helper(x) + sibling", "helper(x) - sibling"),
        ("return run(x)", "return [run(y) for y in x][0]"),
        ("class Scorer:", "class Scorer(dict):"),
        ("return run(x)", "return math.sqrt(run(x))"),
        ("LIMIT = 3", "LIMIT = 3\nLIMIT += 1"),
        ("LIMIT = 3", "LIMIT = 3\nprint(LIMIT)"),  # a statement that the whole module runs
        ("LIMIT = 3", "if math.pi > 3:\n    LIMIT = 3"),
        ("LIMIT = 3", "try:\n    from math import e as LIMIT\nexcept ImportError:\n    LIMIT = 3"),
    ],
)  # fmt: skip
def test_every_kind_of_change_counts(edit, old, new):
    before = code_fingerprint(f"{ROOT}:Scorer")
    edit("root", old, new)
    assert code_fingerprint(f"{ROOT}:Scorer") != before


def test_a_name_of_another_library_is_the_same_however_it_is_imported(edit):
    edit("root", "return run(x)", "return math.sqrt(run(x))")
    before = code_fingerprint(f"{ROOT}:Scorer")
    edit("root", "import math\n", "from math import sqrt\n")
    edit("root", "math.sqrt(", "sqrt(")
    assert code_fingerprint(f"{ROOT}:Scorer") == before
    edit("root", "import sqrt", "import exp as sqrt")
    assert code_fingerprint(f"{ROOT}:Scorer") != before


def test_a_field_and_an_attribute_of_a_class_are_two_things(edit):
    edit("root", "    def score(", "    share: float = 0.1\n\n    def score(")
    before = code_fingerprint(f"{ROOT}:Scorer")
    edit("root", "share: float", "share: int")
    assert code_fingerprint(f"{ROOT}:Scorer") == before
    edit("root", "share: int", "share: 'ClassVar[int]'")
    assert code_fingerprint(f"{ROOT}:Scorer") != before


def test_a_module_that_is_handed_on_counts_whole(edit):
    edit("root", "sibling.constant", "vars(sibling)['constant']")
    before = code_fingerprint(f"{ROOT}:Scorer")
    edit("sibling", "constant = 1", "constant = 1\nanother = 2")
    assert code_fingerprint(f"{ROOT}:Scorer") != before


def test_a_name_of_a_package_leads_through_its_init(edit):
    edit("root", "from acme_ood.near import helper", "from acme_ood.deep import helper")
    edit("deep/__init__", "", "from acme_ood.unrelated import value as helper\n")
    before = code_fingerprint(ROOT)
    edit("unrelated", "value = 1", "value = 2")
    assert code_fingerprint(ROOT) != before


def test_imports_in_a_circle_come_to_an_end(edit):
    edit("base", "one = 1", "one = 1\nfrom acme_ood import root")
    before = code_fingerprint(ROOT)
    edit("base", "one = 1", "one = 2")
    assert code_fingerprint(ROOT) != before


def test_a_contributed_package_may_have_no_init(package, edit):
    (package / "__init__.py").unlink()
    edit("base", "one = 1", "one = 1  # forget")
    before = code_fingerprint(ROOT)
    edit("base", "one = 1", "one = 2")
    assert code_fingerprint(ROOT) != before


def test_a_contributed_file_may_be_a_module_of_its_own(tmp_path, monkeypatch, forget):
    path = tmp_path / "acme_single.py"
    path.write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    before = code_fingerprint("acme_single")
    path.write_text("x = 2\n")
    forget()
    assert code_fingerprint("acme_single") != before


def test_what_is_not_there_is_an_error(package):
    with pytest.raises(ModuleNotFoundError, match=r"no source for module 'acme_ood.absent'"):
        code_fingerprint("acme_ood.absent:run")
    with pytest.raises(LookupError, match=r"module 'acme_ood.root' defines no 'absent'"):
        code_fingerprint("acme_ood.root:absent")


def test_the_code_of_other_packages_counts_by_version():
    assert library_versions("numpy").keys() == {"numpy"}
    assert library_versions("numpy")["numpy"] == importlib.import_module("numpy").__version__


# What the edits of our own files do to the keys of a plan.

REAL = {
    "methods/detectors/knn.py": ("max(1, round(share * size))", "max(2, round(share * size))"),
    "methods/objectives/cross_entropy.py": ("functional.cross_entropy(", "2 * functional.cross_entropy("),
    "benchmark/metrics/detection.py": (
        "def detection_metrics(id_scores: ArrayLike, ood_scores: ArrayLike)",
        "def detection_metrics(id_scores: ArrayLike, ood_scores: ArrayLike, edited=1)",
    ),
    "benchmark/datasets/procedural.py": ("to_uint8(rng.random(", "to_uint8(1 - rng.random("),
    "benchmark/backbones/train.py": ("losses, seen, notes = 0.0, 0", "losses, seen, notes = 0.0, 0 * 1"),
    "benchmark/store/artifacts.py": (None, "EDITED = 1\n"),
    "benchmark/store/files.py": (None, "EDITED = 1\n"),
    "methods/registry.py": (None, "EDITED = 1\n"),
    "benchmark/engines/worker.py": (None, "EDITED = 1\n"),
    "benchmark/run.py": (None, "EDITED = 1\n"),
    "reports/site/build.py": (None, "EDITED = 1\n"),
}


@pytest.fixture
def changed(small, tmp_path, monkeypatch, forget):
    """Labels of the jobs whose keys an edit of one of our files changes; the file itself stays as it is."""
    home = Path(fingerprints.__file__).parents[2]
    find = syntax.find_source

    def keys():
        return {job.label: job.key for job in make_plan(load_spec(small), Selection()).jobs.values()}

    def labels(file):
        forget()
        before = keys()
        old, new = REAL[file]
        source = (home / file).read_text()
        assert old is None or old in source
        copy = tmp_path / Path(file).name
        copy.write_text(source + new if old is None else source.replace(old, new, 1))
        module = file.removesuffix(".py").replace("/", ".")
        monkeypatch.setattr(syntax, "find_source", cache(lambda n: copy if n == module else find(n)))
        forget()
        after = keys()
        monkeypatch.undo()
        forget()
        assert after.keys() == before.keys()
        return {label for label, key in after.items() if key != before[label]}, set(before)

    return labels


def containing(labels, *words):
    return {label for label in labels if any(word in label for word in words)}


def test_an_edited_detector_is_scored_and_measured_again_and_nothing_else_is(changed):
    labels, every = changed("methods/detectors/knn.py")
    assert labels == containing(every, "knn")
    assert len(labels) == 4  # two seeds, scores and measurement


def test_an_edited_objective_trains_again(changed):
    labels, every = changed("methods/objectives/cross_entropy.py")
    assert labels == every - containing(every, "images")


def test_an_edited_training_loop_trains_again(changed):
    labels, every = changed("benchmark/backbones/train.py")
    assert containing(every, "train", "features of", "scores", "measure", "calibration") == labels


def test_an_edited_metric_measures_again_and_neither_trains_nor_extracts(changed):
    labels, every = changed("benchmark/metrics/detection.py")
    assert containing(every, "measure") <= labels
    assert not containing(labels, "train", "features of", "images")


def test_an_edited_metric_scores_nothing_again(changed):
    labels, _ = changed("benchmark/metrics/detection.py")
    assert not containing(labels, "scores")


def test_an_edited_dataset_builds_its_images_again(changed):
    labels, _ = changed("benchmark/datasets/procedural.py")
    assert "small: images of noise" in labels
    assert not containing(labels, ": train")


@pytest.mark.parametrize(
    "file",
    [
        "benchmark/store/artifacts.py", "benchmark/store/files.py", "methods/registry.py",
        "benchmark/engines/worker.py", "benchmark/run.py", "reports/site/build.py",
    ],
)  # fmt: skip
def test_plumbing_computes_nothing_again(changed, file):
    labels, every = changed(file)
    assert not labels
    assert len(every) > 10
