"""What a sandbox leaves is taken for an artifact only if it is one."""

import os

import pytest
import torch
from safetensors.torch import save_file

from benchmark.engines.isolation.leftovers import MOST_FILES, check_leftovers
from benchmark.errors import OodbenchError


@pytest.fixture
def whole(tmp_path):
    folder = tmp_path / "draft"
    folder.mkdir()
    (folder / "names.json").write_text('{"a": [1, 2.5, null]}')
    save_file({"x": torch.zeros(3)}, folder / "scores.safetensors")
    return folder


def link(folder):
    (folder / "a.json").symlink_to(folder / "names.json")


def second_name(folder):
    os.link(folder / "names.json", folder / "a.json")


def pipe(folder):
    os.mkfifo(folder / "a.json")


def cut(folder):
    path = folder / "scores.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def many(folder):
    for number in range(MOST_FILES):
        (folder / f"{number}.json").write_text("1")


def written(name, text="1"):
    def write(folder):
        (folder / name).write_text(text)

    return write


def test_whole_files_of_ours_are_an_artifact(whole):
    check_leftovers(whole)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (link, "a.json is not a regular file of its own"),
        (second_name, "is not a regular file of its own"),
        (pipe, "a.json is not a regular file of its own"),
        (lambda folder: (folder / "a.json").mkdir(), "a.json is not a regular file of its own"),
        (cut, "scores.safetensors is no whole safetensors file"),
        (written("a.safetensors", "x" * 100), "a.safetensors is no whole safetensors file"),
        (written("a.json", "[NaN]"), r"a.json is no JSON \(ValueError: NaN is no number\)"),
        (written("a.json", "["), r"a.json is no JSON \(JSONDecodeError"),
        (written("a.json", "[" * 100_000), r"a.json is no JSON \(RecursionError"),
        (written("manifest.json", "{}"), "manifest.json is neither safetensors nor JSON"),
        (written("a.pt"), "a.pt is neither safetensors nor JSON"),
        (written(".hidden.json"), ".hidden.json is no name of a file of the cache"),
        (written("a\x1b[31m.json"), r"a\\x1b\[31m.json is no name of a file of the cache"),
        (written(f"{'a' * 200}.json"), "is no name of a file of the cache"),
        (many, "it left more than 256 files"),
    ],
)
def test_anything_else_is_not(whole, change, why):
    change(whole)
    with pytest.raises(OodbenchError, match=f"what the job left cannot be an artifact: .*{why}"):
        check_leftovers(whole)
