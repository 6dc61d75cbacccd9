"""``features:FOLDER``: what NumPy alone can write."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.open import open_subject
from benchmark.evaluation.models.stored import open_features
from methods.features import Signal

CLASSES, WIDTH = 3, 4
W = np.random.default_rng(0).normal(size=(CLASSES, WIDTH)).astype(np.float32)
B = np.random.default_rng(1).normal(size=CLASSES).astype(np.float32)


def arrays(n, seed, dtype=np.float32, labels=True):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, WIDTH)).astype(np.float32)
    found = {"logits": (h @ W.T + B).astype(dtype), "penultimate": h.astype(dtype)}
    return found | ({"labels": rng.integers(0, CLASSES, n)} if labels else {})


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("id_train", "id_val", "id_test")):
        np.savez(tmp_path / f"{name}.npz", **arrays(10 + seed, seed))
    for group in ("near", "far"):
        (tmp_path / group).mkdir()
        np.savez(tmp_path / group / f"{group}_set.npz", **arrays(6, 9, labels=False))
    np.savez(tmp_path / "head.npz", weight=W, bias=B)
    (tmp_path / "classes.json").write_text(json.dumps(["a", "b", "c"]))
    return tmp_path


def test_sets_head_and_names(folder):
    found = open_features(folder)
    assert {name: one.role for name, one in found.sets.items()} == {
        "id_train": "id_train", "id_val": "id_val", "id_test": "id_test",
        "near_set": "near", "far_set": "far",
    }  # fmt: skip
    test = found.sets["id_test"].features()
    np.testing.assert_array_equal(test.logits, arrays(12, 2)["logits"])
    np.testing.assert_array_equal(test.labels, arrays(12, 2)["labels"])
    np.testing.assert_array_equal(found.subject.head.weight, W)
    assert found.subject.class_names == ("a", "b", "c")
    assert [one.name for one in found.of("near")] == ["near_set"]
    assert found.subject.card["sets"]["id_train"] == 10


def test_the_subject_takes_no_images_and_says_why(folder):
    subject = open_subject(f"features:{folder}")
    assert subject.classes == CLASSES
    assert subject.prepare is None
    assert json.loads(json.dumps(subject.card)) == subject.card
    assert "computed elsewhere" in subject.differentiable
    assert {Signal.STAGES, Signal.GRAM, Signal.MAPS} <= subject.missing.keys()
    assert not {Signal.LOGITS, Signal.PENULTIMATE, Signal.HEAD} & subject.missing.keys()
    with pytest.raises(UsageError, match="takes no images"):
        subject.features(torch.rand(1, 3, 8, 8), ())


def test_half_precision_is_widened_and_its_head_still_fits(folder):
    for name in ("id_train", "id_val", "id_test"):
        np.savez(folder / f"{name}.npz", **arrays(20, 5, np.float16))
    np.savez(folder / "head.npz", weight=W.astype(np.float16), bias=B.astype(np.float16))
    found = open_features(folder).sets["id_test"].features()
    assert found.logits.dtype == found.penultimate.dtype == torch.float32
    assert found.rounding == np.finfo(np.float16).eps


def test_double_precision_comes_in_single(folder):
    np.savez(folder / "id_test.npz", **arrays(20, 5, np.float64))
    assert open_features(folder).sets["id_test"].features().logits.dtype == torch.float32


def test_safetensors_and_stages(folder):
    (folder / "id_test.npz").unlink()
    stages = {f"stage_{i}": np.ones((5, 2 + i), np.float32) for i in range(11)}
    for path in folder.rglob("*.npz"):
        if path.stem != "head":
            path.unlink()
    save_file({**arrays(5, 1), **stages}, folder / "id_test.safetensors")
    found = open_features(folder)
    read = found.sets["id_test"].features()
    assert [s.shape[1] for s in read.stages] == [2 + i for i in range(11)]
    assert Signal.STAGES not in found.subject.missing


def test_images_may_have_names(folder):
    names = np.array([f"img{i}.png" for i in range(12)])
    np.savez(folder / "id_test.npz", **arrays(12, 2), names=names)
    found = open_features(folder).sets
    assert found["id_test"].names() == tuple(names)
    assert found["id_train"].names() is None


def test_logits_alone_will_do(tmp_path):
    np.savez(tmp_path / "id_test.npz", logits=arrays(5, 0)["logits"])
    found = open_features(tmp_path)
    assert not found.subject.head.is_linear
    assert "no head.npz" in found.subject.missing[Signal.HEAD]
    assert Signal.PENULTIMATE in found.subject.missing


def test_the_fingerprint_is_the_heads(folder):
    first = open_features(folder).subject.fingerprint
    np.savez(folder / "id_train.npz", **arrays(7, 77))
    assert open_features(folder).subject.fingerprint == first
    moved = {**arrays(12, 2), "logits": arrays(12, 2)["logits"] + 1}
    for path in folder.rglob("*.npz"):
        path.unlink()
    np.savez(folder / "id_test.npz", **moved)
    np.savez(folder / "head.npz", weight=W, bias=B + 1)
    assert open_features(folder).subject.fingerprint != first


def without(key):
    return {k: v for k, v in arrays(12, 2).items() if k != key}


BAD = {
    "no logits": (without("logits"), r"id_test\.npz: has no key 'logits'.*it has penultimate, labels"),
    "a strange key": ({**arrays(12, 2), "feats": np.ones(3)}, "has a key 'feats'; expected logits, penult"),
    "whole numbers": ({**arrays(12, 2), "logits": np.ones((12, 3), int)}, "'logits' is of type int64"),
    "another width": ({**arrays(12, 2), "penultimate": np.ones((12, 5))}, r"id_train.npz: penultimate.*wide"),
    "rows": ({**arrays(12, 2), "penultimate": np.ones((3, 4))}, "penultimate: expected 2 dimension"),
    "labels out of range": ({**arrays(12, 2), "labels": np.full(12, 3)}, "expected class indices from"),
    "labels that are floats": ({**arrays(12, 2), "labels": np.ones(12)}, "labels: expected whole numbers"),
    "NaN": ({**arrays(12, 2), "logits": np.full((12, 3), np.nan)}, "logits: 36 of 36 values are NaN"),
    "an object": ({"logits": np.array([{}], object)}, "key 'logits': cannot be read: Object arrays"),
    "no rows": ({"logits": np.ones((0, 3))}, "has no images"),
    "a stage left out": ({**arrays(12, 2), "stage_1": np.ones((12, 2))}, "numbered from stage_0 on"),
    "names": ({**arrays(12, 2), "names": np.array(["a"])}, r"'names' is of shape \(1,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_names_file_and_key(folder, case):
    content, why = BAD[case]
    np.savez(folder / "id_test.npz", **content)
    with pytest.raises(DataError, match=why):
        open_features(folder)


HEADS = {
    "another shape": ({"weight": W[:2], "bias": B[:2]}, r"'weight' is of shape \(2, 4\), expected \(3, 4\)"),
    "other numbers": ({"weight": W + 1, "bias": B}, "differs from the logits of id_test.npz by"),
    "no weight": ({"bias": B}, "has no key 'weight'"),
    "a strange key": ({"weight": W, "scale": B}, "has a key 'scale'"),
    "a bias that does not fit": ({"weight": W, "bias": B[:1]}, "bias: expected shape"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_does_not_fit(folder, case):
    content, why = HEADS[case]
    np.savez(folder / "head.npz", **content)
    with pytest.raises(DataError, match=rf"head\.npz.*{why}"):
        open_features(folder)


@pytest.mark.parametrize("content", [b"", b"nothing", None])
def test_a_damaged_file(folder, content):
    path = folder / "near" / "near_set.npz"
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    with pytest.raises(DataError, match=r"near_set\.npz: cannot be read"):
        open_features(folder)


def test_a_flipped_byte(folder):
    """The archive's own checksum notices."""
    path = folder / "id_val.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"id_val\.npz: key 'logits': cannot be read"):
        open_features(folder)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('["a"]', "has 1 names, and the logits have 3"),
        ("{}", "expected a list of names"),
        ("[", "is no JSON"),
    ],
)
def test_class_names_that_do_not_fit(folder, content, why):
    (folder / "classes.json").write_text(content)
    with pytest.raises(DataError, match=why):
        open_features(folder)


def test_folders_that_are_none(tmp_path, folder):
    with pytest.raises(UsageError, match="no such folder"):
        open_features(tmp_path / "none")
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"has no id_test\.npz or id_test\.safetensors"):
        open_features(empty)
    save_file(arrays(3, 0), folder / "id_test.safetensors")
    with pytest.raises(UsageError, match=r"has id_test\.npz and id_test\.safetensors; expected one"):
        open_features(folder)


def test_two_sets_of_one_name(folder):
    np.savez(folder / "far" / "near_set.npz", **arrays(3, 0, labels=False))
    with pytest.raises(UsageError, match="there is another set 'near_set'"):
        open_features(folder)
