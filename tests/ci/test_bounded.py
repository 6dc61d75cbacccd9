"""What a stranger wrote is read within bounds, and shown so that GitHub finds nothing in it."""

import re

import pytest

from benchmark.errors import DataError
from oodbench_ci.bounded import as_code, plain_path, read_bounded_json, shown, tamed


def test_plain_json_is_read():
    assert read_bounded_json(b'{"a": [1, 2.5, null, "\\u00e9"]}', "x", 100) == {"a": [1, 2.5, None, "\u00e9"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"auroc": NaN}', "got NaN"),
        (b'{"auroc": -Infinity}', "got -Infinity"),
        (b'{"auroc": 1e999}', "got 1e999"),
        (b'{"a": 1, "a": 2}', "duplicate key 'a'"),
        (b"[" * 100_000, "nested 100000 deep"),
        (b'{"a":' * 100_000, "nested 100000 deep"),
        (b'{"row": "\\u202egpj"}', "hidden character U\\+202E"),
        (b'{"a\\u0000": 1}', "hidden character U\\+0000"),
        (b'"' + b"x" * 300_000 + b'"', "a text of 300,000 characters"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
        (b" " * 1_000_001, "1,000,001 bytes; expected at most 1,000,000"),
    ],
)
def test_hostile_json_is_refused(data, said):
    with pytest.raises(DataError, match=f"^here: .*{said}"):
        read_bounded_json(data, "here", 1_000_000)


def test_brackets_within_texts_are_no_nesting():
    assert read_bounded_json(b'["' + b"[" * 1000 + b'\\"]"]', "x", 2000)


@pytest.mark.parametrize("path", ["a/b.py", "results/x/a+b.json", "a_b-c.d~e@f"])
def test_plain_paths(path):
    assert plain_path(path)


@pytest.mark.parametrize("path", ["", "/a", "a//b", "../a", "a/../b", "a/./b", "a b", "a\nb", "a\\b", "é",
                                  "a/.git/config", "A/.GIT/x", "<b>", "x" * 201])  # fmt: skip
def test_other_paths(path):
    assert not plain_path(path)


def test_what_is_shown_is_one_line_of_plain_characters():
    assert shown("a\nb\u202ec") == "a\\nb\\u202ec"
    assert shown("x" * 300) == "x" * 200 + "…"


@pytest.mark.parametrize("text", ["`", "``", "a`b", "</code>", "|", "a\nb", "@all", "x" * 500, "\x1b[31m"])
def test_code_cannot_be_left(text):
    code = as_code(text)
    ticks = re.match("`+", code)[0]
    inner = code[len(ticks) : -len(ticks)]
    assert code.endswith(ticks)
    assert ticks not in re.findall("`+", inner)
    assert "\n" not in code
    assert "|" not in code


@pytest.mark.parametrize(
    "text",
    ["@someone", "see #12", "GH-7", "https://evil.example", "HTTP://x", "www.evil.example", "a@b.example"],
)
def test_github_finds_neither_names_nor_numbers_nor_addresses(text):
    said = tamed(text)
    assert not re.search(r"(?i)@\w|#\d|gh-\d|https?:|www\.", said)
    assert said.replace("\u2060", "") == text


def test_headings_and_tables_stay_as_they_are():
    text = "## Board\n\n| Row | AUROC |\n|:---|---:|\n| a | 97.10 |"
    assert tamed(text) == text
