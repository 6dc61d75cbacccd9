"""A new method of each family: it registers, asks to be written, is planned; its test waits for a number."""

import importlib
import runpy
import subprocess
import sys
from difflib import SequenceMatcher
from importlib.util import find_spec

import pytest
from kept_registry import keep_registry
from small_checkout import checkout_in, tree_of
from small_leaderboard import SMALL

import methods
from benchmark.errors import SpecError, UsageError
from benchmark.plan.make import Selection, make_plan
from benchmark.scaffold.method import FAMILY_OF, new_method
from benchmark.scaffold.templates import FOLDER
from benchmark.spec.load import load_spec
from benchmark.store.fingerprints import forget
from methods import registry
from reports.console.new import KINDS

ROOMS = ["benchmark", "methods"]
STUDY = "tracks.small.studies"
ADDED = {  # below leaderboard.yaml, and what chooses it
    "detector": (["entries.toy_new", "tracks.small.entries"], "--entry toy_new"),
    "objective": (["entries.toy_new+msp", "tracks.small.entries"], "--entry toy_new+msp"),
    "attack": ([f"{STUDY}.adversarial.attacks.toy_new"], "--study adversarial --seed 0"),
    "noise_model": ([f"{STUDY}.label_noise.full.noises.toy_new"], "--study label_noise --full --seed 0"),
    "correction": ([f"{STUDY}.label_noise.full.methods.toy_new"], "--study label_noise --full --seed 0"),
    "profile": ([f"{STUDY}.imbalance.profiles.toy_new"], "--study imbalance --seed 0"),
    "sampler": ([f"{STUDY}.imbalance.methods.toy_new"], "--study imbalance --seed 0"),
}
every_kind = pytest.mark.parametrize("kind", ADDED)


def test_every_family_has_a_kind_and_its_texts():
    assert set(ADDED) == set(KINDS) == set(FAMILY_OF)
    assert set(FAMILY_OF.values()) == set(registry.FAMILIES)
    texts = {f"{kind}{part}.py.txt" for kind in (*KINDS, "dataset", "track") for part in ("", "_test")}
    assert {path.name for path in FOLDER.iterdir()} == texts - {"dataset.py.txt", "track.py.txt"}


@pytest.fixture
def begun(checkout, monkeypatch):
    """Begin a method in the checkout, and let the registry look there too."""
    keep_registry(monkeypatch)
    modules = set(sys.modules)
    folders = [*methods.__path__, str(checkout.root / "methods")]
    monkeypatch.setattr(
        methods.__spec__, "submodule_search_locations", folders
    )  # where sources are looked for

    def begin(kind, name="toy_new"):
        addition = new_method(checkout, kind, name, None)
        checkout.write(addition)
        package = importlib.import_module(f"methods.{FAMILY_OF[kind]}")
        folder = checkout.root / "methods" / FAMILY_OF[kind]
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        return addition

    yield begin
    for module in set(sys.modules) - modules:
        if module.endswith(".toy_new"):
            del sys.modules[module]
            package, _, name = module.rpartition(".")
            delattr(sys.modules[package], name)
    forget()


@every_kind
def test_its_lines_are_added_and_no_other_is_changed(checkout, begun, kind):
    before = checkout.text
    addition = begun(kind)
    keys, chosen = ADDED[kind]
    anew = "study adversarial of track small is to be measured anew: its records name all of them"
    assert addition.notes == ((anew,) if kind == "attack" else ())
    assert list(addition.keys) == keys
    family = FAMILY_OF[kind]
    files = [f"methods/{family}/toy_new.py", f"tests/methods/{family}/test_toy_new.py"]
    assert list(addition.files) == files
    assert addition.commands == (
        f"$EDITOR {' '.join(files)}",
        "oodbench check toy_new",
        f"oodbench run --track small {chosen}",
    )
    now = checkout.leaderboard.read_text()
    changes = SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
    assert {kind for kind, *_ in changes} == {"equal", "insert"}
    load_spec(checkout.leaderboard)


@every_kind
def test_it_is_registered_listed_and_planned(checkout, begun, kind):
    begun(kind)
    forget()
    assert registry.broken() == {}
    cls = registry.method_class(FAMILY_OF[kind], "toy_new")
    assert cls.__name__ == "ToyNew"
    assert cls.configure({}).name == "toy_new"
    assert "TODO" in cls.__doc__
    broken = make_plan(load_spec(checkout.leaderboard), Selection(full=True)).broken
    tried = {"noise_model": "study label_noise of track small", "profile": "study imbalance of track small"}
    assert list(broken) == ([tried[kind]] if kind in tried else [])  # with no traceback
    assert all("toy_new: NotImplementedError: TODO: write `" in why for why in broken.values())


CALLS = {
    "detector": lambda made: made.score.__wrapped__(made, None),
    "objective": lambda made: made.loss(None, None, {}),
    "attack": lambda made: next(made._search(None, None, None, None)),
    "noise_model": lambda made: made.matrix(3, 0.5, None),
    "correction": lambda made: made.estimate(None),
    "profile": lambda made: made.counts(3, 10),
    "sampler": lambda made: made.epoch(None, None),
}


@every_kind
def test_until_it_is_written_it_says_that_it_is_not(begun, kind):
    begun(kind)
    made = registry.method_class(FAMILY_OF[kind], "toy_new").configure({})
    with pytest.raises(NotImplementedError, match=r"^TODO: write `"):
        CALLS[kind](made)


@every_kind
def test_its_test_fails_until_the_number_is_filled_in_and_says_so(checkout, begun, kind):
    addition = begun(kind)
    tests = runpy.run_path(str(checkout.root / [*addition.files][1]))
    (test,) = (value for name, value in tests.items() if name.startswith("test_"))
    with pytest.raises(AssertionError, match=r"^fill in EXPECTED"):
        test()


WRITTEN = {  # what is written in the place of the NotImplementedErrors, and the numbers that belong to it
    "detector": (["return features.logits[:, 0].double()"], {"EXPECTED": [2.0, 0.0, 0.0]}),
    "objective": (["return network(batch.images).sum()"], {"EXPECTED": 2.5}),
    "attack": (
        ["yield images + self.epsilon"],
        {"EXPECTED": [[0.625, 0.375, 0.875], [0.375, 0.625, 0.625]]},
    ),
    "noise_model": (
        ["return torch.eye(classes, dtype=torch.float64)"],
        {"EXPECTED": [[float(i == j) for j in range(4)] for i in range(4)]},
    ),
    "correction": (
        ["return self.probabilities(setup)[[0, 3]]", "return network(batch.images).sum()"],
        {"EXPECTED_MATRIX": [[0.75, 0.25], [0.0, 1.0]], "EXPECTED_LOSS": 2.0},
    ),
    "profile": (
        ["return [largest // 2**rank for rank in range(classes)]"],
        {"EXPECTED": [1000, 500, 250, 125, 62]},
    ),
    "sampler": (
        ["return torch.randperm(len(labels), generator=rng)"],
        {"EXPECTED_SIZE": 10, "EXPECTED_SHARES": [0.6, 0.3, 0.1]},
    ),
}


@every_kind
@pytest.mark.parametrize("right", [True, False])
def test_its_test_passes_with_the_right_numbers_and_fails_with_others(checkout, begun, kind, right):
    addition = begun(kind)
    module, path = (checkout.root / name for name in addition.files)
    lines, numbers = WRITTEN[kind]
    text = module.read_text()
    for line in lines:
        head, _, rest = text.partition("raise NotImplementedError(")
        text = head + line + rest.partition("\n")[1] + rest.partition("\n")[2]
    module.write_text(text)
    filled = path.read_text()
    for name, value in numbers.items():
        assert f"\n{name} = None" in filled
        filled = filled.replace(f"\n{name} = None", f"\n{name} = {value if right else 7}")
    path.write_text(filled)
    tests = runpy.run_path(str(path))
    (test,) = (value for name, value in tests.items() if name.startswith("test_"))
    if right:
        test()
    else:
        with pytest.raises(AssertionError):
            test()


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
@pytest.mark.parametrize("name", ["a", "paper", "x" * 20 + "_" + "y" * 19])
def test_what_is_written_is_formatted_and_has_no_lint(tmp_path, monkeypatch, name):
    checkout, written = checkout_in(tmp_path, monkeypatch), {}
    for kind in KINDS:
        written.update(new_method(checkout, kind, name, None).files)
    for path, text in written.items():
        (checkout.root / path).write_text(text)
    ours = (FOLDER.parents[2] / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(f"{ours}\n[tool.ruff.lint.isort]\nknown-first-party = {ROOMS}\n")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "methods", "tests"],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_an_entry_stands_behind_the_last_plain_one_of_its_kind(tmp_path, monkeypatch):
    text = SMALL.replace(
        "entries: [msp, knn]", "entries:\n      - msp # logits\n      # features\n      - knn"
    )
    checkout = checkout_in(tmp_path, monkeypatch, text)
    now = new_method(checkout, "detector", "toy_new", "small").leaderboard
    assert "      - msp # logits\n      - toy_new\n      # features\n" in now
    assert "  msp: {detector: msp}\n  toy_new: {detector: toy_new}\n  knn:" in now


def test_a_new_objective_is_of_full_runs_where_there_are(tmp_path, monkeypatch):
    more = "entries: [msp, knn]\n    full: {entries: [mixup+msp]}\n"
    text = SMALL.replace("entries: [msp, knn]\n", more)
    text = text.replace(
        "boards:", "  mixup+msp: {objective: mixup, detector: msp}\n  last: {detector: msp}\nboards:"
    )
    checkout = checkout_in(tmp_path, monkeypatch, text)
    now = new_method(checkout, "objective", "toy_new", None).leaderboard
    assert "full: {entries: [mixup+msp, toy_new+msp]}" in now
    assert "detector: msp}\n  toy_new+msp: {objective: toy_new, detector: msp}\n  last:" in now


def test_tracks_that_share_the_list_are_told(tmp_path, monkeypatch):
    text = SMALL.replace("  small:\n", "  small: &small\n", 1)
    text = text.replace(
        "backbones:\n  tiny", "  other:\n    <<: *small\n    title: Another\nbackbones:\n  tiny"
    )
    checkout = checkout_in(tmp_path, monkeypatch, text)
    assert new_method(checkout, "detector", "toy_new", "small").notes == (
        "track other has it too: it shares the list",
    )
    before = tree_of(tmp_path)
    with pytest.raises(
        SpecError, match=r"leaderboard\.yaml:\d+: tracks\.other\.entries: is not written here"
    ):
        new_method(checkout, "detector", "toy_new", "other")
    assert tree_of(tmp_path) == before


def test_a_track_that_has_no_place_for_it_is_refused(tmp_path, monkeypatch, checkout):
    with pytest.raises(UsageError, match=r"--track: no track 'smal'; did you mean 'small'\?"):
        new_method(checkout, "detector", "toy_new", "smal")
    (tmp_path / "other").mkdir()
    without = checkout_in(tmp_path / "other", monkeypatch, SMALL)
    with pytest.raises(UsageError, match=r"small: no study of it lists noise models; .*: there is none"):
        new_method(without, "noise_model", "toy_new", None)


def test_a_name_that_is_taken_is_refused(checkout):
    for name, complaint in (("energy", "is taken, by methods"), ("../x", "expected lower_snake_case")):
        with pytest.raises(UsageError, match=complaint):
            new_method(checkout, "detector", name, None)
