"""What leaderboard.yaml may hold and how large it may be: hostile and absurd files are refused at once.

Each refusal names file and line. The bounds are those of `benchmark.spec.limits`; times are generous, and far
below what the unbounded work would take.
"""

import os
import socket
import time
from pathlib import Path

import pytest

from benchmark.errors import DataError, SpecError, UsageError
from benchmark.plan.make import Selection, make_plan
from benchmark.spec import limits
from benchmark.spec.load import load_spec
from benchmark.spec.shipped import find_leaderboard
from benchmark.spec.yaml_file import read_tree

SECONDS = 20.0  # within which a refusal comes, on a slow machine that is busy


@pytest.fixture
def edited(small):
    """Replace a passage of the small leaderboard, the first time that it occurs."""

    def edit(old, new):
        text = small.read_text()
        assert old in text
        small.write_text(text.replace(old, new, 1), encoding="utf-8")
        return small

    return edit


@pytest.fixture
def written(tmp_path):
    """A YAML file of the given text."""

    def write(text):
        path = tmp_path / "file.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path):
    began = time.monotonic()
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert time.monotonic() - began < SECONDS
    return str(caught.value)


def tree(path):
    return read_tree(path, "a file", "keys")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("2001-99-99", "got the date 2001-99-99; expected text (in quotes) or a number"),
        ("!!int abc", "got 'abc'; expected an integer"),
        ("!!bool abc", "got 'abc'; expected true or false"),
        ("!!float abc", "got 'abc'; expected a number"),
        ("!!null abc", "got 'abc'; expected null"),
        ("1" * 5000, "got a number of 5,000 characters; expected at most 100"),
        ("1e999", "got inf; expected a finite number"),
        ('"\\uD800"', "got text with U+D800; expected characters that can be read"),
        ('"\\0"', "got text with U+0000; expected characters that can be read"),
        ('"\\e[31m"', "got text with U+001B; expected characters that can be read"),
        ("!!set {a, b}", "got the tag 'tag:yaml.org,2002:set'; expected plain data"),
        ("!!omap [a: 1]", "got the tag 'tag:yaml.org,2002:omap'; expected plain data"),
        ("!!binary aGk=", "got the tag 'tag:yaml.org,2002:binary'; expected plain data"),
        ("!!str [a]", "got the tag 'tag:yaml.org,2002:str'; expected plain data"),
        ("{{a: b}: c}", "got a list or mapping as a key; expected text"),
        ("{? [a] : c}", "got a list or mapping as a key; expected text"),
    ],
)
def test_r26_what_is_no_plain_value_is_refused_with_its_place(edited, value, problem):
    path = edited("title: A few digits", f"title: {value}")
    assert refusal(path) == f"{path}:4: tracks.small.title: {problem}"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: &r [1, *r]\n", 1, "a.1: is an alias of a value that holds it; expected an end"),
        ("a:\n  b: &c\n    k: *c\n", 2, "a.b.k: is an alias of a value that holds it; expected an end"),
        ("a: &m {<<: *m}\n", 1, "a: is an alias of a value that holds it; expected an end"),
        ("x: 1\na: {<<: 3}\n", 2, "a: got '<<' of something else; expected a mapping or several"),
        ("a: {<<: {b: 1}, <<: {c: 1}}\n", 1, "duplicate key '<<'"),
        ("true: 1\nTRUE: 2\n", 2, "duplicate key True"),
        ("%YAML 1.1\n---\na: yes\n", 1, "got the directive '%YAML 1.1'; expected YAML 1.2, or no directive"),
        ('"\\u2028\\uDC00": 1\n', 1, "got text with U+DC00; expected characters that can be read"),
    ],
)
def test_r26_aliases_keys_and_directives_with_a_second_meaning_are_refused(written, text, line, problem):
    path = written(text)
    with pytest.raises(SpecError) as caught:
        tree(path)
    assert str(caught.value).splitlines()[0] == f"{path}:{line}: {problem}"


@pytest.mark.parametrize(
    ("text", "line"),
    [("%YAML 9.9\n---\na: 1\n", 1), ('\n\na: "\\U99999999"\n', 3), ("%YAML x\n---\na: 1\n", 1)],
)
def test_r26_what_the_parser_does_not_take_is_no_yaml(written, text, line):
    path = written(text)
    with pytest.raises(SpecError, match=f"^{path}:{line}: not valid YAML: "):
        tree(path)


def test_r26_plain_values_are_those_of_yaml_1_2(written):
    """By chapter 10.3 of the specification of YAML 1.2.2, its own examples among them."""
    path = written(
        "a: [~, null, true, False, yes, no, on]\n"
        "b: [0, 0o7, 0x3A, -19, +12, 010]\n"
        "c: [0., -0.0, .5, +12e03, -2E+05, 1e-400]\n"
        'd: ["x", \'it\'\'s\', "\\u263A", plain text, =, "<<"]\n'
        "e: >\n  folded\n  text\n"
        "f: |\n  kept\n  text\n"
        "g: &g {x: 1, y: 2}\n"
        "h: {<<: *g, y: 3}\n"
        "i: {<<: [{z: 1}, {z: 2, x: 4}], x: 5}\n"
        "j: &anew 1\nk: &anew 2\nl: *anew\n"
    )
    assert tree(path) == {
        "a": [None, None, True, False, "yes", "no", "on"],
        "b": [0, 7, 58, -19, 12, 10],
        "c": [0.0, 0.0, 0.5, 12000.0, -200000.0, 0.0],
        "d": ["x", "it's", "☺", "plain text", "=", "<<"],
        "e": "folded text\n",
        "f": "kept\ntext\n",
        "g": {"x": 1, "y": 2},
        "h": {"y": 3, "x": 1},
        "i": {"x": 5, "z": 1},
        "j": 1,
        "k": 2,
        "l": 2,
    }


def test_r26_an_unknown_key_is_told_so_that_it_can_be_read(edited):
    path = edited("    near:\n", '    "\\ufeffnear": {}\n    near:\n')
    message = refusal(path)
    assert message.startswith(
        f"{path}:8: tracks.small.'\\ufeffnear': unknown key '\\ufeffnear'; did you mean 'near'?"
    )
    assert message.isprintable()


def test_r27_ten_to_the_nine_values_by_aliases_are_refused(written):
    """Ten lists of ten aliases each: 10¹⁰ values in a few hundred characters."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    path = written("\n".join(lines))
    message = refusal(path)
    # A list of 10^(i+1) letters has 2 · 10^(i+1) characters or more: the sixth is the first beyond 500,000.
    assert (
        message
        == f"{path}:6: a5: is more than 500,000 characters with its aliases written out; expected fewer"
    )


def test_r27_merges_count_as_what_they_hold(written):
    keys = ", ".join(f"k{i}: {'x' * 100}" for i in range(1000))
    path = written(f"a: &a {{{keys}}}\n" + "".join(f"m{i}: {{<<: *a}}\n" for i in range(20)))
    assert "with its aliases written out; expected fewer" in refusal(path)


def test_r27_a_chain_of_aliases_is_no_deeper_than_what_is_written(written):
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 3000)]
    assert "is nested more than 50 deep with its aliases written out; expected less" in refusal(
        written("\n".join(lines))
    )


@pytest.mark.parametrize("text", ["a: " + "[" * 3000, "a: " + "{b: " * 3000, "- " * 3000])
def test_r27_deep_nesting_is_refused(written, text):
    path = written(text)
    assert refusal(path).startswith(f"{path}:1: not valid YAML: ")


def test_r27_a_long_file_is_refused_unparsed(edited):
    path = edited("version: 1\n", "version: 1\n" + "# much ado\n" * 100_000)
    assert refusal(path) == f"{path}:1: has {len(path.read_text()):,} characters; expected at most 500,000"


def test_r27_only_the_first_mistakes_are_told(edited):
    path = edited("seeds: [0, 1]", f"seeds: [{', '.join(['x'] * 5000)}]")
    lines = refusal(path).splitlines()
    assert len(lines) == limits.MOST_MISTAKES + 1
    assert lines[-1] == "… and more"


def test_r27_a_long_value_is_told_by_its_beginning(edited):
    path = edited("seeds: [0, 1]", f"seeds: {'x' * 50_000}")
    message = refusal(path)
    assert f"got '{'x' * (limits.LONGEST_SEEN - 1)}…" in message
    assert len(message) < 1000


def test_r27_thirty_thousand_seeds_are_read_in_linear_time(edited):
    """Checking each against all before it would be 4.5 · 10⁸ comparisons; parsing takes some seconds."""
    path = edited("seeds: [0, 1]", f"seeds: [{', '.join(map(str, range(30_000)))}]")
    began = time.monotonic()
    assert len(load_spec(path).tracks["small"].seeds) == 30_000
    assert time.monotonic() - began < 4 * SECONDS


def test_r27_one_of_many_seeds_is_planned_at_once(edited):
    path = edited("seeds: [0, 1]", f"seeds: [{', '.join(map(str, range(5_000)))}]")
    spec = load_spec(path)
    began = time.monotonic()
    assert len(make_plan(spec, Selection(seeds=(4_999,))).cells) == 2
    assert time.monotonic() - began < SECONDS


def test_r27_more_cells_than_can_be_planned_are_refused(edited, monkeypatch):
    spec = load_spec(edited("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    monkeypatch.setattr("benchmark.plan.make.MOST_CELLS", 5)  # 3 seeds × 2 entries
    with pytest.raises(
        UsageError, match=r":3: tracks.small: 6 cells are asked for at once; expected at most 5: "
    ):
        make_plan(spec, Selection())
    assert len(make_plan(spec, Selection(entries=("msp",))).cells) == 3


@pytest.mark.parametrize("grids", [{"k": range(1, 1002)}, {"k": range(2000), "j": range(2000)}])
def test_r9_a_grid_beyond_a_thousand_points_is_refused_when_read(edited, grids):
    text = ", ".join(f"{name}: {list(values)}" for name, values in grids.items())
    path = edited("hyperparameters: {k: 2}", f"tune: {{{text}}}")
    points = 1001 if len(grids) == 1 else 4_000_000
    assert (
        refusal(path)
        == f"{path}:24: entries.knn.tune: got a grid of {points:,} points; expected at most 1,000"
    )


def test_r9_a_grid_of_a_thousand_points_is_taken(edited):
    path = edited("hyperparameters: {k: 2}", f"tune: {{k: {list(range(1, 1001))}}}")
    assert len(load_spec(path).entries["knn"].tune["k"]) == 1000


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ("lr: 0.003", "lr: 1.0e+300", "lr", "Input should be less than or equal to 100; got 1e+300"),
        ("lr: 0.003", "lr: 100.1", "lr", "Input should be less than or equal to 100; got 100.1"),
        (
            "weight_decay: 0.01", "weight_decay: 400.0", "weight_decay",
            "got 400.0; expected less than 1 / lr = 333.333, which leaves no weights",
        ),
        (
            "epochs: 1", "epochs: 99999999999", "epochs",
            "Input should be less than or equal to 10000000; got 99999999999",
        ),
        (
            "batch_size: 6", "batch_size: 99999999999", "batch_size",
            "Input should be less than or equal to 10000000; got 99999999999",
        ),
    ],
)  # fmt: skip
def test_r9_a_recipe_that_is_absurd_is_refused(edited, old, new, key, problem):
    path = edited(old, new)
    assert refusal(path) == f"{path}:13: tracks.small.training.{key}: {problem}"


def test_r9_the_shown_attack_may_not_search_for_ever(edited):
    """Planning runs the attack whose steps are shown once, on one image."""
    study = (
        "    studies:\n      adversarial:\n        networks: {cross_entropy: [scratch]}\n"
        "        images_per_class: 1\n"
        "        attacks: {pgd: {method: pgd, hyperparameters: {steps: 1000000000}}}\n        curves: pgd\n"
        "        epsilons: [0.1]\n        steps: [1]\n        detectors: [msp]\n"
    )
    path = edited("backbones:\n  tiny", f"{study}backbones:\n  tiny")
    began = time.monotonic()
    with pytest.raises(SpecError, match=r"curves: 'pgd' has 1,000,000,000 steps; expected at most 10,000"):
        make_plan(load_spec(path), Selection())
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize(
    "old", ["small:\n    title", "tiny: {arch", "scratch: {source", "msp: {detector", "threes:"]
)
def test_r30_a_name_too_long_for_a_file_is_refused_when_read(edited, old):
    """Three names, what is drawn and a temporary ending are one file's name: 255 bytes on common systems."""
    name = "n" * (limits.LONGEST_NAME + 1)
    message = refusal(edited(old, f"{name}{old[old.index(':') :]}"))
    assert "String should have at most 64 characters" in message
    assert len("robustness_detection~" + "~".join(["n" * limits.LONGEST_NAME] * 3) + ".svg") + 14 < 255


@pytest.mark.parametrize("strengths", ["[0.0, 0.1234567, 0.1234568, 1.0]"])
def test_r30_two_strengths_of_one_name_are_refused(edited, strengths):
    study = (
        f"    studies:\n      label_noise:\n        inits: [scratch]\n        strengths: {strengths}\n"
        "        noises: {uniform: {method: uniform}}\n        methods: {none: {}}\n"
    )
    path = edited("backbones:\n  tiny", f"{study}backbones:\n  tiny")
    assert "0.1234567 and 0.1234568 have one name; expected strengths of six digits at most" in refusal(path)


def special(kind, path):
    """Make what is no regular file at `path`."""
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a link to nothing":
        path.symlink_to(path.parent / "nowhere")
    else:
        os.chdir(path.parent)  # the path of a socket may be no longer than some 100 characters
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)


KINDS = ["a named pipe", "a device", "a link to nothing", "a socket"]


@pytest.mark.parametrize("kind", KINDS)
def test_r7_a_leaderboard_that_is_no_regular_file_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "leaderboard.yaml"
    special(kind, path)
    assert refusal(path) == f"{path}: is {kind}; expected a leaderboard file"
    assert find_leaderboard(None) == Path("leaderboard.yaml")  # not silently the one that came with oodbench


@pytest.mark.parametrize("kind", KINDS)
def test_r27_a_checkpoint_that_is_no_regular_file_is_refused(edited, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    special(kind, tmp_path / "weights.safetensors")
    path = edited(
        "scratch: {source: scratch}",
        "scratch: {source: checkpoint, file: weights.safetensors, trained_on: nothing, licence: none}",
    )
    with pytest.raises(
        DataError, match=f":21: inits.scratch.file: .*weights.safetensors is {kind}; expected a safe"
    ):
        make_plan(load_spec(path), Selection())
