"""Adding to a YAML file: what stands there stays to the byte, and the file says no more than that."""

from pathlib import Path

import pytest
from places import SHIPPED
from small_spec import needs_checkout

from benchmark.errors import SpecError
from benchmark.spec.yaml_edit import Block, Editor
from benchmark.spec.yaml_tree import compose

HERE = Path("some.yaml")
BLOCK = """\
a: # of lists
  items:
    # the first
    - one # is first
    - two

    # behind them
  named: &named
    x: {k: 1} # of x
    y:
      deep: |
        text

  shared: *named
b: 1
"""


def added(text, change):
    editor = Editor(HERE, text)
    change(editor)
    before, after = text.splitlines(), editor.text.splitlines()
    assert editor.tree == compose(HERE, editor.text)
    return [line for line in after if line not in before], [line for line in before if line not in after]


@pytest.mark.parametrize(
    ("after", "behind"),
    [
        ("one", "    - one # is first\n"),
        ("two", "    - two\n"),
        (None, "    - two\n"),
        ("gone", "    - two\n"),
    ],
)
def test_an_item_is_a_line_behind_another(after, behind):
    editor = Editor(HERE, BLOCK)
    editor.add_item(("a", "items"), "new", after)
    assert editor.text == BLOCK.replace(behind, f"{behind}    - new\n")


@pytest.mark.parametrize(
    ("after", "behind"),
    [("x", "    x: {k: 1} # of x\n"), (None, "        text\n")],
)
def test_a_key_is_a_line_behind_another(after, behind):
    editor = Editor(HERE, BLOCK)
    editor.add_key(("a", "named"), "new", {"k": "v"}, after)
    assert editor.text == BLOCK.replace(behind, f"{behind}    new: {{k: v}}\n")
    assert editor.tree["a"]["shared"]["new"] == {"k": "v"}  # of the alias too


def test_a_key_below_the_top_and_several_lines():
    editor = Editor(HERE, BLOCK.removesuffix("\n"))
    editor.add_key((), "c", Block(title="x: y", inner=Block(k=[1, "a"]), many=[{"k": None}, {"k": True}]))
    assert (
        editor.text
        == f"""{BLOCK}c:
  title: "x: y"
  inner:
    k: [1, a]
  many:
    - {{k: null}}
    - {{k: true}}
"""
    )
    editor.add_key(("c",), "d", Block(e=2), "title", apart=True)
    assert '  title: "x: y"\n\n  d:\n    e: 2\n  inner:' in editor.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [x, y]\n", "a: [x, new, y]\n"),
        ("a: [x,\n    y]\n", "a: [x,\n    new,\n    y]\n"),
        ("a:\n  [w, x, # of x\n   y]\n", "a:\n  [w, x, new, # of x\n   y]\n"),
        ("a: [w, x, y,\n    z, v]\n", "a: [w, x, y,\n    new,\n    z, v]\n"),
        ("a: [v,\n    w, x]\n", "a: [v,\n    new,\n    w, x]\n"),
        ("a: [x]", "a: [x, new]"),
        ("a: &a [x] # all\nb: *a\n", "a: &a [x, new] # all\nb: *a\n"),
        ("a:\r\n- x\r\n- y\r\n", "a:\r\n- x\r\n- new\r\n- y\r\n"),
    ],
)
def test_an_item_in_brackets_is_a_line_of_its_own_where_it_can(text, expected):
    editor = Editor(HERE, text)
    editor.add_item(("a",), "new", "x")
    assert editor.text == expected


def test_a_key_in_braces():
    editor = Editor(HERE, "a: {x: {k: 1}, y: 2} # both\n")
    editor.add_key(("a",), "new", {"k": ""}, "x")
    assert editor.text == 'a: {x: {k: 1}, new: {k: ""}, y: 2} # both\n'
    with pytest.raises(SpecError, match=r"some\.yaml:1: a: is written in braces; expected a key on"):
        editor.add_key(("a",), "more", Block(k=1))


TEXTS = [
    "plain", "two words", "", " blank ", "x: y", "a #b", "- a", "[a]", "{a}", "true", "null", "~", "1", "1e3",
    "0x1f", "2026-01-01", "'", '"', "a\\b", "a\nb", "*a", "&a", "!a", "%a", "@a", "`a`", "=", "<<", "é → ×",
    "-", "?", "a: ",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_read_as_it_was_meant(text):
    editor = Editor(HERE, "a: {b: 1}\nc:\n  d: 1\n")
    editor.add_key(("a",), "new", {"k": text, "l": [text]})
    editor.add_key(("c",), "new", Block(k=text))
    assert editor.tree["a"]["new"] == {"k": text, "l": [text]}
    assert editor.tree["c"]["new"] == {"k": text}


@pytest.mark.parametrize(
    ("text", "keys", "complaint"),
    [
        ("a: [x]\nb: *a\n", ("b",), "undefined alias"),
        ("a: &a [x]\nb: *a\n", ("b",), "2: b: is an alias of line 1; expected what is written here"),
        ("a: &a {l: [x]}\nb:\n  <<: *a\n", ("b", "l"), "2: b.l: is not written here; expected it below"),
        ("a: 1\n", ("a",), "1: a: is no list with items"),
        ("a: []\n", ("a",), "1: a: is no list with items"),
        ("a: {b: 1}\n", ("a",), "1: a: is no list with items"),
        ("a: 1\n", ("c",), "1: c: is not written here"),
        ("", ("c",), "1: : is empty"),
    ],
)
def test_what_nothing_can_be_added_to_is_refused_and_named(text, keys, complaint):
    with pytest.raises(SpecError, match=complaint):
        Editor(HERE, text).add_item(keys, "new")


def test_a_key_that_is_there_is_refused_and_nothing_changes():
    editor = Editor(HERE, BLOCK)
    with pytest.raises(SpecError, match=r"some\.yaml:9: a\.named\.x: is there already"):
        editor.add_key(("a", "named"), "x", {})
    assert editor.text == BLOCK


def test_an_addition_that_would_say_something_else_is_refused(monkeypatch):
    editor = Editor(HERE, "a: [x]\n")
    monkeypatch.setattr(Editor, "_with", lambda self, node, added: "a: [x, other]\n")
    with pytest.raises(SpecError, match=r"a\.new: cannot be added by itself"):
        editor.add_item(("a",), "new")
    assert editor.text == "a: [x]\n"


@needs_checkout
def test_lines_of_the_shipped_leaderboard_are_added_and_none_is_changed():
    def change(editor):
        editor.add_item(("tracks", "digits", "entries"), "new_one", "line")
        editor.add_item(("tracks", "cifar10", "entries"), "new_two")
        editor.add_item(("tracks", "imagenet_openood", "entries"), "new_three")
        editor.add_key(("entries",), "new_one", {"detector": "new"}, "line")
        editor.add_key(("tracks", "digits", "studies", "adversarial", "attacks"), "new", {"method": "new"})

    new, gone = added(SHIPPED.read_text(), change)
    assert gone == []
    assert [line.strip() for line in new] == [
        "- new_one", "new: {method: new}", "new_two,", "new_three,", "new_one: {detector: new}",
    ]  # fmt: skip
