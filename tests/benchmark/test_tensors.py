"""Files that are filled a few rows at a time: what safetensors reads, whole or refused."""

import errno
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.errors import StorageError
from benchmark.store.tensors import TensorWriter

LAYOUT = {
    "pixels": (torch.uint8, (5, 3, 2)),
    "logits": (torch.float32, (5, 4)),
    "labels": (torch.int64, (5,)),
    "scores": (torch.float64, (2,)),
    "correct": (torch.bool, (3,)),
}


def content():
    drawn = torch.Generator().manual_seed(0)
    return {n: torch.randint(2, shape, generator=drawn).to(dtype) for n, (dtype, shape) in LAYOUT.items()}


def write(path, tensors, step=2):
    with TensorWriter(path, LAYOUT) as file:
        for start in range(0, 5, step):
            for name, tensor in tensors.items():
                file.append(name, tensor[start : start + step])


@pytest.mark.parametrize("step", [1, 2, 5])
def test_what_is_appended_is_read_back(tmp_path, step):
    expected = content()
    write(tmp_path / "a.safetensors", expected, step)
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_the_bytes_do_not_depend_on_the_steps(tmp_path):
    for step in (1, 5):
        write(tmp_path / str(step), content(), step)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "5").read_bytes()


def test_rows_that_are_views_are_written_in_their_own_order(tmp_path):
    whole = torch.arange(20.0).reshape(4, 5)
    with TensorWriter(tmp_path / "a", {"x": (torch.float32, (5, 4))}) as file:
        file.append("x", whole.T[:2])
        file.append("x", whole.T[2:])
    assert torch.equal(load_file(tmp_path / "a")["x"], whole.T)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("logits", torch.zeros(1, 3)),
        ("logits", torch.zeros(1, 4, dtype=torch.float64)),
        ("logits", torch.zeros(6, 4)),
        ("labels", torch.zeros(1, dtype=torch.int32)),
    ],
    ids=["width", "type", "too many", "integer type"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, name, rows):
    with (
        pytest.raises(ValueError, match=f"{name}: expected rows of"),
        TensorWriter(tmp_path / "a", LAYOUT) as f,
    ):
        f.append(name, rows)


def test_missing_rows_are_an_error_that_names_the_tensor(tmp_path):
    tensors = content()
    tensors["logits"] = tensors["logits"][:4]
    with pytest.raises(ValueError, match=r"rows are missing of logits$"):
        write(tmp_path / "a", tensors)


def test_an_error_in_between_is_not_hidden_by_missing_rows(tmp_path):
    with pytest.raises(ZeroDivisionError), TensorWriter(tmp_path / "a", LAYOUT):
        1 / 0  # noqa: B018


def test_a_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match="No space left"):
        write(tmp_path / "a", content())


def test_a_tensor_of_no_rows(tmp_path):
    with TensorWriter(tmp_path / "a", {"x": (torch.float32, (0, 4)), "y": (torch.int64, (1,))}) as file:
        file.append("y", torch.ones(1, dtype=torch.int64))
    save_file({"x": torch.zeros(0, 4), "y": torch.ones(1, dtype=torch.int64)}, tmp_path / "b")
    assert load_file(tmp_path / "a")["x"].shape == load_file(tmp_path / "b")["x"].shape == (0, 4)
