"""What changes a fingerprint, and what does not: one that misses an edit would serve stale results."""

import importlib
import re
from pathlib import Path

import pytest

from benchmark import fingerprints
from benchmark.fingerprints import code_fingerprint, library_versions
from benchmark.plan import Selection, make_plan
from benchmark.spec import load_spec

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
    def clear():
        importlib.invalidate_caches()
        fingerprints._parse.cache_clear()
        fingerprints.code_fingerprint.cache_clear()
        fingerprints._source.cache_clear()

    yield clear
    clear()


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


def test_moving_code_between_modules_counts(edit):
    before = code_fingerprint(ROOT)
    edit("sibling", "constant = 1\n", "")
    edit("base", "one = 1\n", "one = 1\nconstant = 1\n")
    assert code_fingerprint(ROOT) != before


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


def test_a_module_without_source_is_an_error(package):
    with pytest.raises(ModuleNotFoundError, match=r"no source for module 'acme_ood.absent'"):
        code_fingerprint("acme_ood.absent")


def test_the_code_of_other_packages_counts_by_version():
    assert code_fingerprint("methods.names") == code_fingerprint()  # plumbing
    assert library_versions("numpy").keys() == {"numpy"}
    assert library_versions("numpy")["numpy"] == importlib.import_module("numpy").__version__


# What the edits of our own files do to the keys of a plan.

REAL = {
    "methods/detectors/knn.py": ("max(1, round(share * size))", "max(2, round(share * size))"),
    "methods/objectives/cross_entropy.py": ("functional.cross_entropy(", "2 * functional.cross_entropy("),
    "benchmark/metrics/detection.py": (None, "EDITED = 1\n"),
    "benchmark/datasets/procedural.py": (None, "EDITED = 1\n"),
    "benchmark/backbones/train.py": (None, "EDITED = 1\n"),
    "benchmark/artifacts.py": (None, "EDITED = 1\n"),
    "benchmark/files.py": (None, "EDITED = 1\n"),
    "methods/registry.py": (None, "EDITED = 1\n"),
    "benchmark/engines/worker.py": (None, "EDITED = 1\n"),
    "benchmark/run.py": (None, "EDITED = 1\n"),
    "reports/site.py": (None, "EDITED = 1\n"),
}


@pytest.fixture
def changed(small, tmp_path, monkeypatch, forget):
    """Labels of the jobs whose keys an edit of one of our files changes; the file itself stays as it is."""
    home = Path(fingerprints.__file__).parents[1]
    find = fingerprints._source

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
        monkeypatch.setattr(fingerprints, "_source", lambda name: copy if name == module else find(name))
        fingerprints._parse.cache_clear()
        fingerprints.code_fingerprint.cache_clear()
        after = keys()
        monkeypatch.undo()
        fingerprints._parse.cache_clear()
        fingerprints.code_fingerprint.cache_clear()
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
        "benchmark/artifacts.py", "benchmark/files.py", "methods/registry.py", "benchmark/engines/worker.py",
        "benchmark/run.py", "reports/site.py",
    ],
)  # fmt: skip
def test_plumbing_computes_nothing_again(changed, file):
    labels, every = changed(file)
    assert not labels
    assert len(every) > 10
