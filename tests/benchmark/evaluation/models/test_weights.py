"""Reading weights: tensors alone, whatever the file."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.weights import load_into, read_weights, stripped


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.fixture
def state(model):
    return model.state_dict()


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) for k in expected)


def test_safetensors(tmp_path, state):
    save_file(state, path := tmp_path / "w.safetensors")
    found, notes = read_weights(path)
    assert same(found, state)
    assert notes == ()


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_plain_state_dict(tmp_path, state, suffix, key):
    torch.save(state if key is None else {key: state, "epoch": 3}, path := tmp_path / f"w{suffix}")
    found, notes = read_weights(path)
    assert same(found, state)
    assert [key in note for note in notes] == ([] if key is None else [True])


def test_a_pickled_model_is_refused_with_the_way_to_convert_it(tmp_path, model):
    torch.save(model, path := tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"may run any code and is not opened.*save_file\(model.state_dict"):
        read_weights(path)


def test_code_in_a_pickle_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"state_dict": Evil()}, path := tmp_path / "w.pt")
    with pytest.raises(DataError, match="not opened"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_a_damaged_file(tmp_path, state, suffix, content):
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(DataError, match=rf"w\{suffix}: (is damaged|cannot be read as safetensors)"):
        read_weights(path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, torch.zeros(2)])
def test_what_is_no_state_dict(tmp_path, content):
    torch.save(content, path := tmp_path / "w.pt")
    with pytest.raises(DataError, match=f"expected a state dict .* got {type(content).__name__}"):
        read_weights(path)


def test_a_name_that_says_nothing(tmp_path):
    (path := tmp_path / "w.ckpt").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"expected weights as \.safetensors, or a state dict as \.pt"):
        read_weights(path)
    with pytest.raises(UsageError, match="is not there"):
        read_weights(tmp_path / "other.pt")


def test_prefixes_of_wrappers_are_left_out_and_said(model, state):
    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    found, notes = stripped(wrapped, state)
    assert same(found, state)
    assert len(notes) == 2
    inner = {f"model.{name}": value for name, value in state.items()}
    assert stripped(inner, inner) == (inner, [])


def test_what_does_not_fit_is_named(model, state):
    wrong = {**state, "0.weight": torch.zeros(2, 3), "9.bias": torch.zeros(1)}
    del wrong["0.bias"]
    with pytest.raises(DataError) as caught:
        load_into(model, wrong, "w.pt")
    for part in (
        "w.pt: does not fit Sequential",
        "1 missing: 0.bias",
        "1 not the model's: 9.bias",
        "0.weight is (2, 3) and should be (4, 3)",
    ):
        assert part in str(caught.value)


def test_older_files_have_no_counters(model, state):
    older = {name: torch.rand_like(v) for name, v in state.items() if v.is_floating_point()}
    load_into(model, older, "w.pt")
    assert torch.equal(model[0].weight, older["0.weight"])
