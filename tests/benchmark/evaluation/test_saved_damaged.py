"""What is wrong with a saved detector, told with what to do: damaged, hostile, foreign, newer, changed."""

import hashlib
import json
import os
import pickle
import re

import pytest
import torch
from fake_subject import FakeSubject
from safetensors.torch import load_file, save

from benchmark.errors import DataError, UsageError
from benchmark.evaluation import saved
from benchmark.evaluation.saved import CARD, load_detector, read_card, save_detector
from methods.registry import detector

SUBJECT = FakeSubject()
AGAIN = "fit the detector again and save it with save_detector"


@pytest.fixture(scope="module")
def learnt():
    return SUBJECT.fit(detector("vim"))


@pytest.fixture
def folder(learnt, tmp_path):
    """Of ViM: two numbers, tensors, and a detector in a detector."""
    save_detector(learnt, tmp_path / "detector")
    return tmp_path / "detector"


def tensors_of(folder):
    (path,) = folder.glob("*.safetensors")
    return path


def refused(folder, kind, *words, **options):
    with pytest.raises(kind) as error:
        load_detector(folder, **options)
    for word in words:
        assert word in str(error.value)
    assert str(folder) in str(error.value)


def change(folder, edit):
    """Change the card as somebody would who means it."""
    card = json.loads((folder / CARD).read_text())
    edit(card)
    (folder / CARD).write_text(json.dumps(card))


def exchange(folder, edit):
    """Change the tensors, with the right checksum: a hostile file, and no damaged one."""
    path = tensors_of(folder)
    found = load_file(path)
    edit(found)
    content = found if isinstance(found, bytes) else save({k: v.contiguous() for k, v in found.items()})
    put(folder, content)


def put(folder, content):
    tensors_of(folder).unlink()
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"detector-{digest[:16]}.safetensors").write_bytes(content)
    change(folder, lambda card: card.update(sha256=digest))


def test_a_flipped_bit_of_the_tensors(folder):
    path = tensors_of(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(folder, DataError, "damaged", "SHA-256", AGAIN)


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_truncated_tensors(folder, left):
    path = tensors_of(folder)
    path.write_bytes(path.read_bytes()[:left])
    refused(folder, DataError, "damaged", AGAIN)


def test_tensors_that_are_gone(folder):
    tensors_of(folder).unlink()
    refused(folder, DataError, "is not there", "copy the folder whole")


@pytest.mark.parametrize("left", [0, 1, 300])
def test_a_truncated_card(folder, left):
    path = folder / CARD
    path.write_bytes(path.read_bytes()[:left])
    refused(folder, DataError, CARD, "is no JSON", AGAIN)


@pytest.mark.parametrize("content", ["[]", "null", "3", '{"format": 1}', '"text"', '{"format": "1"}'])
def test_json_that_is_no_card(folder, content):
    (folder / CARD).write_text(content)
    refused(folder, DataError, "expected the card of a saved detector")


@pytest.mark.parametrize("content", ['{"format": NaN}', "[" * 100_000, "\xff\xfe"])
def test_json_that_is_none(folder, content):
    (folder / CARD).write_bytes(content.encode("latin-1"))
    refused(folder, DataError, CARD)


def test_a_card_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr(saved, "LARGEST_CARD", 100)
    refused(folder, DataError, "more than 100 bytes")


def test_a_card_that_would_never_end(folder):
    (folder / CARD).unlink()
    os.mkfifo(folder / CARD)
    refused(folder, DataError, "expected a regular file")


def test_a_card_that_is_a_folder(folder):
    (folder / CARD).unlink()
    (folder / CARD).mkdir()
    refused(folder, DataError, "expected a regular file")


def test_a_newer_format(folder):
    change(folder, lambda card: card.update(format=2, news="what nobody knows yet"))
    refused(folder, DataError, "of format 2", "up to 1", "pip install --upgrade oodbench")


@pytest.mark.parametrize("wrong", [0, -1, "1", None, 1.5, True])
def test_a_format_that_is_none(folder, wrong):
    change(folder, lambda card: card.update(format=wrong))
    refused(folder, DataError, "format")


def test_keys_that_nobody_knows(folder):
    change(folder, lambda card: card.update(run="me"))
    refused(folder, DataError, "run", "expected the card of a saved detector")


@pytest.mark.parametrize("name", ["no_such_detector", "knm"])
def test_a_detector_that_is_not_installed(folder, name):
    change(folder, lambda card: card.update(detector=name))
    refused(folder, UsageError, name, "not installed here", "install the package that has it")


@pytest.mark.parametrize("name", ["../../etc/passwd", "os.system", "", "Vim", "a" * 200, "__init__"])
def test_a_detector_that_is_a_path_or_a_module(folder, name):
    change(folder, lambda card: card.update(detector=name))
    refused(folder, DataError, "detector")


@pytest.mark.parametrize("digest", ["../../../etc/passwd", "a" * 63, "A" * 64, "/" * 64])
def test_a_checksum_that_is_a_path(folder, digest):
    change(folder, lambda card: card.update(sha256=digest))
    refused(folder, DataError, "sha256")


def test_another_detectors_state(folder):
    change(folder, lambda card: card.update(detector="knn", source=saved.source_of(type(detector("knn")))))
    refused(folder, DataError, "knn", AGAIN)


def test_a_changed_method_is_named_and_can_be_allowed(folder, learnt):
    other = "0" * 32
    change(folder, lambda card: card.update(source=other))
    today = saved.source_of(type(learnt))
    refused(folder, UsageError, "'vim'", other, today, "allow_changed=True", AGAIN.capitalize())
    assert load_detector(folder, allow_changed=True).alpha == learnt.alpha


def test_a_method_without_source_is_not_taken_on_trust(folder, monkeypatch):
    change(folder, lambda card: card.update(source=None))
    refused(folder, UsageError, "unknown", "allow_changed=True")
    monkeypatch.setattr(saved, "source_of", lambda cls: None)
    refused(folder, UsageError, "unknown", "allow_changed=True")


def test_hyper_parameters_that_the_method_refuses(folder):
    change(folder, lambda card: card.update(hyperparameters={"dim": -3}))
    refused(folder, DataError, "dim: expected None or at least 1, got -3")
    change(folder, lambda card: card.update(hyperparameters={"dimension": 3}))
    refused(folder, DataError, "no hyper-parameter 'dimension'")


FIELDS = "state", "fields"


def at(card, *path):
    for key in path:
        card = card[key]
    return card


EDITS = {
    "a field is missing": (lambda f: f.pop("alpha"), "vim: expected", "without alpha"),
    "a field too many": (lambda f: f.update(score=1), "vim: expected", "with 'score'"),
    "a number that is text": (lambda f: f.update(alpha="1"), "vim.alpha: expected float", "got str"),
    "a number that is a tensor": (lambda f: f.update(alpha=f["bias"]), "vim.alpha: expected float", "Tensor"),
    "infinity in words": (lambda f: f.update(alpha={"float": "nan"}), "vim.alpha: expected inf or -inf"),
    "a tensor that is a number": (lambda f: f.update(bias=1.0), "vim.bias: expected Tensor", "got float"),
    "a tensor of no name": (
        lambda f: f["bias"].update(tensor="../x"),
        "vim.bias: expected a tensor of its own",
    ),
    "a tensor twice": (lambda f: f.update(weight=dict(f["bias"])), "expected a tensor of its own"),
    "another shape": (lambda f: f["bias"].update(shape=[3]), "vim.bias: expected 'F64' of shape [3]"),
    "another type": (lambda f: f["bias"].update(type="F32"), "vim.bias: expected 'F32'", "has F64"),
    "no order": (
        lambda f: f["bias"].update(order=[5]),
        "vim.bias: expected an order of 1 dimensions, got [5]",
    ),
    "an order of text": (lambda f: f["bias"].update(order="x"), "vim.bias: expected an order"),
    "a value of no kind": (lambda f: f.update(alpha={"eval": "1+1"}), "vim.alpha: expected a value", "eval"),
    "a list": (lambda f: f.update(alpha=[1]), "vim.alpha: expected a value"),
    "a class by name": (
        lambda f: f["residual"].update(object="os:system"),
        "vim.residual: expected Residual",
    ),
    "another class": (lambda f: f["residual"].update(object="Gaussian"), "vim.residual: expected Residual"),
    "a class that is none": (lambda f: f["residual"].update(object=[1]), "vim.residual: expected Residual"),
    "hyper-parameters of the inner": (lambda f: f["residual"].update(hyperparameters=3), "hyper-parameters"),
    "an inner one refuses": (lambda f: f["residual"].update(hyperparameters={"dim": -1}), "got -1"),
    "widths": (lambda f: f["residual"].update(widths={"logits": "x"}), "widths: expected lists of shapes"),
    "negative widths": (
        lambda f: f["residual"].update(widths={"logits": [[-1]]}),
        "expected lists of shapes",
    ),
    "an object for a tensor": (lambda f: f.update(bias=f["residual"]), "vim.bias: expected no object"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_state_that_is_not_this_detectors(folder, edit):
    act, *words = EDITS[edit]
    change(folder, lambda card: act(at(card, *FIELDS)))
    refused(folder, DataError, *words, AGAIN)


def test_a_state_nested_without_end(folder):
    def nest(card):
        node = 1.0
        for _ in range(40):
            node = {"tuple": [node]}
        at(card, *FIELDS)["alpha"] = node

    change(folder, nest)
    refused(folder, DataError, "nested too deeply")


def test_tensors_with_nan(folder):
    exchange(folder, lambda found: found["0"].fill_(torch.nan))
    refused(folder, DataError, "holds NaN", AGAIN)


def test_tensors_of_another_type(folder):
    exchange(folder, lambda found: found.update({"0": found["0"].float()}))
    refused(folder, DataError, "has F32", AGAIN)


def test_a_tensor_too_many(folder):
    exchange(folder, lambda found: found.update(extra=torch.zeros(3)))
    refused(folder, DataError, "tensors that belong nowhere: 'extra'")


def test_a_tensor_too_few(folder):
    exchange(folder, lambda found: found.pop("0"))
    refused(folder, DataError, "expected a tensor of its own")


HUGE = b'{"0":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not safetensors at all",
        b"\xff" * 64,
        len(HUGE).to_bytes(8, "little") + HUGE,
        (1 << 60).to_bytes(8, "little") + b"{}",
        pickle.dumps({"0": 1}),
    ],
)
def test_tensors_that_are_no_safetensors_with_the_right_checksum(folder, content):
    put(folder, content)
    refused(folder, DataError, "is no safetensors file", AGAIN)


def test_tensors_that_are_a_link_to_nothing_or_a_pipe(folder):
    path = tensors_of(folder)
    path.unlink()
    os.mkfifo(path)
    refused(folder, DataError, "not a regular file")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["detector.pkl", "detector.pt", "model.pth"])
def test_a_folder_of_pickles(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "unpickled")))
    refused(tmp_path, UsageError, name, "pickles are never opened", AGAIN)
    refused(tmp_path / name, UsageError, "pickles is never opened", AGAIN)
    assert not (tmp_path / "unpickled").exists()


def test_a_card_that_is_a_pickle(folder, tmp_path):
    (folder / CARD).write_bytes(pickle.dumps(Bomb(tmp_path / "unpickled")))
    refused(folder, DataError, "is a pickle, which is never opened", AGAIN)
    assert not (tmp_path / "unpickled").exists()


def test_a_folder_that_is_none(tmp_path):
    refused(tmp_path / "nowhere", UsageError, "there is no such folder")
    refused(tmp_path, UsageError, f"holds no {CARD}", "expected a folder that save_detector wrote")


def test_a_foreign_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(save({"w": torch.zeros(2)}))
    refused(tmp_path, UsageError, f"holds no {CARD}")


def test_messages_show_no_control_characters(folder):
    change(folder, lambda card: at(card, *FIELDS)["residual"].update(object="\x1b[31mred"))
    with pytest.raises(DataError) as error:
        load_detector(folder)
    assert not re.search(r"[\x00-\x1f]", str(error.value))


def test_a_card_is_read_without_the_tensors(folder):
    tensors_of(folder).unlink()
    assert read_card(folder).detector == "vim"
