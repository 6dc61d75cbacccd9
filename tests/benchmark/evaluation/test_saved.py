"""Saved and loaded, every detector gives the same scores to the last bit.

The conformance suite holds every detector to it in float64; here in float32, on features of a subject.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from fake_subject import FakeSubject
from kept_registry import keep_registry

from benchmark.conformance.pretended import There, pretended
from benchmark.conformance.subject import stepping
from benchmark.errors import UsageError
from benchmark.evaluation.saved import CARD, load_detector, load_saved, save_detector, source_of
from benchmark.evaluation.state import on_device
from methods.base import Detector, EnsembleDetector, Features, GradientDetector, Signal, fitted
from methods.detectors._rows import Rows, normalised
from methods.registry import detector, detectors, register

SUBJECT = FakeSubject()
OF_WORLD = {name: cls for name, cls in detectors().items() if not issubclass(cls, EnsembleDetector)}


def fitted_one(name="knn", **hyperparameters):
    return SUBJECT.fit(detector(name, **hyperparameters))


def scores(learnt):
    features = SUBJECT.network.features(SUBJECT.world.outliers.images)
    if isinstance(learnt, GradientDetector) and learnt.step > 0:
        return learnt.score_images(SUBJECT.network.features, SUBJECT.world.outliers.images)
    return learnt.score(features)


@pytest.mark.parametrize("name", OF_WORLD)
def test_every_detector_comes_back_to_the_last_bit(name, tmp_path):
    world = SUBJECT.world.own()
    if Signal.OUTPUTS in OF_WORLD[name].needs:
        world.give(OF_WORLD[name].example_outputs)
    learnt = world.fit(stepping(OF_WORLD[name]()))
    save_detector(learnt, tmp_path)
    again = load_detector(tmp_path)
    assert type(again) is type(learnt)
    assert again.hyperparameters() == learnt.hyperparameters()
    for part in (world.inliers, world.outliers):
        assert torch.equal(world.score(again, part), world.score(learnt, part))


def test_a_folder_holds_two_files_and_no_more(tmp_path):
    save_detector(fitted_one("knn"), tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [CARD, f"detector-{card['sha256'][:16]}.safetensors"]
    )
    assert card["detector"] == "knn"
    assert card["source"] == source_of(type(detector("knn")))


def test_the_same_detector_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        save_detector(fitted_one("vim"), tmp_path / folder, {"n": 1})
    first, second = (sorted((tmp_path / f).iterdir()) for f in "ab")
    assert [p.name for p in first] == [p.name for p in second]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_another_detector_takes_the_place_and_other_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save_detector(fitted_one("knn"), tmp_path)
    save_detector(fitted_one("mahalanobis"), tmp_path)
    assert load_detector(tmp_path).name == "mahalanobis"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_write_that_fails_leaves_the_old_one_whole(tmp_path, monkeypatch):
    old = fitted_one("knn")
    save_detector(old, tmp_path)
    from benchmark.evaluation import saved

    real = saved.write_atomically

    def broken(path, content):
        if path.name == CARD:
            raise OSError("the disk is full")
        real(path, content)

    monkeypatch.setattr(saved, "write_atomically", broken)
    with pytest.raises(OSError, match="full"):
        save_detector(fitted_one("mahalanobis"), tmp_path)
    assert torch.equal(scores(load_detector(tmp_path)), scores(old))


def test_extra_comes_back(tmp_path):
    extra = {"threshold": 0.1 + 0.2, "names": ["a", "ü"], "none": None}
    save_detector(fitted_one("msp"), tmp_path, extra)
    assert load_saved(tmp_path).card.extra == extra


@pytest.mark.parametrize("extra", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}])
def test_extra_that_is_no_json_is_refused(extra, tmp_path):
    with pytest.raises(UsageError, match="msp cannot be saved: hyper-parameters and `extra` must be JSON"):
        save_detector(fitted_one("msp"), tmp_path, extra)
    assert not (tmp_path / CARD).exists()


def test_hyper_parameters_come_back(tmp_path):
    save_detector(fitted_one("knn", k=7), tmp_path)
    assert load_detector(tmp_path).hyperparameters()["k"] == 7


def test_a_chosen_step_comes_back(tmp_path):
    learnt = fitted_one("odin").with_step(0.0042)
    save_detector(learnt, tmp_path)
    assert load_detector(tmp_path).step == 0.0042


def test_an_unfitted_detector_is_refused(tmp_path):
    with pytest.raises(UsageError, match="knn cannot be saved: knn: call fit before score"):
        save_detector(detector("knn"), tmp_path)


def test_a_loaded_detector_still_refuses_features_of_another_width(tmp_path):
    save_detector(fitted_one("knn"), tmp_path)
    with pytest.raises(ValueError, match="as the training features have"):
        load_detector(tmp_path).score(Features(torch.zeros(2, 10), torch.zeros(2, 3)))


def test_rows_that_no_block_holds_are_kept_as_they_are_changed(monkeypatch):
    """Then a bank keeps the features and the function that changes them."""
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    bank = Rows(rows, lambda h, z: normalised(h) * z[:, None], torch.arange(10.0))
    monkeypatch.setattr("methods.detectors._rows.AT_ONCE", 12)
    again = Rows.remade(**bank.kept())
    assert torch.equal(again[:], bank[:])
    assert [len(b) for (b,) in again.blocks()] == [len(b) for (b,) in bank.blocks()] == [3, 3, 3, 1]


def test_state_elsewhere_is_brought_there():
    learnt = fitted_one("knn")
    assert on_device(learnt, torch.device("cpu")) is learnt
    expected, features = scores(learnt), SUBJECT.network.features(SUBJECT.world.outliers.images)
    with pretended() as device:
        there = on_device(learnt, device)
        found = there.score(features.on(device))
        assert isinstance(found, There)  # what lies in two places cannot be computed with
        assert torch.equal(found.here, expected)


@dataclass(frozen=True)
class Part:
    """A dataclass in a detector's state."""

    mean: torch.Tensor
    names: tuple[str, int]


@pytest.fixture
def odd(monkeypatch):
    keep_registry(monkeypatch)

    @register("odd")
    @dataclass(frozen=True)
    class Odd(Detector):
        """Keeps all that can be kept."""

        part: Part | None = fitted()
        table: dict[str, list[float]] = fitted()
        view: torch.Tensor = fitted()
        edge: float = fitted()
        anything: Any = fitted()

        needs = frozenset({Signal.LOGITS})

        def fit(self, train, val, head, rng=None):
            return self

        def score(self, features):
            return features.logits.amax(dim=1).double()

    def made(**state):
        mean = torch.arange(6, dtype=torch.float16).reshape(2, 3)
        known = {
            "part": Part(mean, ("a", 1)),
            "table": {"x": [0.1, -0.0], "y": []},
            "view": mean.T,
            "edge": float("inf"),
            "anything": (None, True, 2**70, "text"),
        }
        return Odd().with_state(**{**known, **state})

    return made


def test_all_kinds_of_state_come_back(odd, tmp_path):
    before = odd()
    save_detector(before, tmp_path)
    after = load_detector(tmp_path, allow_changed=True)
    assert torch.equal(after.part.mean, before.part.mean)
    assert (after.part.mean.dtype, after.part.names) == (torch.float16, ("a", 1))
    assert repr(after.table) == repr(before.table)  # with the sign of zero
    assert (after.edge, after.anything) == (before.edge, before.anything)
    assert torch.equal(after.view, before.view)
    assert after.view.stride() == before.view.stride()  # products are rounded by it


def test_none_comes_back(odd, tmp_path):
    save_detector(odd(part=None), tmp_path)
    assert load_detector(tmp_path, allow_changed=True).part is None


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"edge": "text"}, "odd.edge: expected float, as it is declared, got str"),
        ({"edge": float("nan")}, "odd.edge: is NaN"),
        ({"view": torch.tensor([1.0, torch.nan])}, "odd.view: holds NaN"),
        ({"view": torch.zeros(2, dtype=torch.complex64)}, "odd.view: a tensor of torch.complex64"),
        ({"view": torch.eye(2).to_sparse()}, "odd.view: a tensor of .*sparse"),
        ({"anything": object()}, "odd.anything: holds object; expected tensors"),
        ({"anything": [1, {2}]}, r"odd.anything\[1\]: holds set"),
        ({"anything": {(1, 2): 3}}, "odd.anything: a dict with the key"),
        ({"part": (1, 2)}, "odd.part: expected .*Part"),
        ({"beside": 1}, "odd: keeps beside, which it does not declare"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(odd, state, message, tmp_path):
    with pytest.raises(UsageError, match=f"odd cannot be saved: {message}"):
        save_detector(odd(**state), tmp_path)
