"""leaderboard.yaml as a file: what is no mapping, no text, tagged or not there."""

import os

import pytest
from small_spec import refusal

from benchmark.spec.load import load_spec


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", ":1: expected keys (version, tracks, …), got nothing"),
        ("# only a comment\n", ":1: expected keys (version, tracks, …), got nothing"),
        ("- a\n", ":1: expected keys (version, tracks, …), got a list"),
        ("hello\n", ":1: expected keys (version, tracks, …), got 'hello'"),
        (
            "version: 1\ntracks: [1\n",
            ":3: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
        (
            "version: 1\n\ttracks: {}\n",
            ":2: not valid YAML: while scanning for the next token, "
            "found character '\\t' that cannot start any token",
        ),
        ("version: 1\nboards: *nothing\n", ":2: not valid YAML: found undefined alias 'nothing'"),
        (
            "version: 1\n---\nversion: 1\n",
            ":2: not valid YAML: expected a single document in the stream, but found another document",
        ),
        ("version: 1\nx: \0\n", ":2: not valid YAML: special characters are not allowed"),
    ],
    ids=["empty", "comment", "list", "text", "bracket", "tab", "alias", "documents", "NUL"],
)  # fmt: skip
def test_what_is_no_mapping_is_refused(tmp_path, text, rest):
    path = tmp_path / "leaderboard.yaml"
    path.write_text(text)
    assert refusal(path) == f"{path}{rest}"


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:pathlib.Path.touch [{witness}]",
        "!!python/object/new:pathlib.Path [{witness}]",
        "!!python/name:os.system x",
        "!!python/object:pathlib.Path {{a: 1}}",
        "!mine x",
    ],
)
@pytest.mark.parametrize(
    ("old", "line", "key"),
    [
        ("title: A few digits", 4, "tracks.small.title"),
        ("{detector: knn, hyperparameters: {k: 2}}", 24, "entries.knn.hyperparameters.k"),
    ],
)
def test_a_tag_is_refused_and_makes_nothing(edited, tmp_path, tagged, old, line, key):
    witness = tmp_path / "made"
    tagged = tagged.format(witness=witness)
    new = f"title: {tagged}" if "title" in old else old.replace("2}", f"{tagged}}}")
    path = edited(old, new)
    message = refusal(path)
    assert message.startswith(f"{path}:{line}: {key}: got the tag ")
    assert message.endswith("; expected plain data")
    assert not witness.exists()


def test_a_tag_of_the_whole_file_is_refused(small):
    small.write_text("--- !!python/object:os.path\n" + small.read_text())
    assert "got the tag 'tag:yaml.org,2002:python/object:os.path'; expected plain data" in refusal(small)


@pytest.mark.parametrize(
    "content", [bytes(range(256)), "version: 1".encode("utf-16")], ids=["bytes", "UTF-16"]
)
def test_a_file_that_is_not_text_is_refused(tmp_path, content):
    path = tmp_path / "leaderboard.yaml"
    path.write_bytes(content)
    assert refusal(path) == f"{path}: cannot be read: not UTF-8 text; expected a leaderboard file"


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "leaderbord.yaml"
    assert refusal(path) == f"{path}: cannot be read: No such file or directory; expected a leaderboard file"


def test_a_folder_is_refused(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read: Is a directory; expected a leaderboard file"


def test_an_unreadable_file_is_refused(small, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied", str(small))

    monkeypatch.setattr(os, "open", deny)  # root may read whatever the mode says
    assert refusal(small) == f"{small}: cannot be read: Permission denied; expected a leaderboard file"


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_matter(small, newline, mark):
    expected = load_spec(small)
    small.write_text(mark + small.read_text(), newline=newline)
    assert load_spec(small) == expected
