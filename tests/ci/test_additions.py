"""What is added to leaderboard.yaml is told from whatever else changes there."""

import json

import pytest
from proposals import LEADERBOARD, WITH_TOY

from benchmark.errors import SpecError
from oodbench_ci.additions import additions, read_leaderboard

BEFORE = read_leaderboard(LEADERBOARD.encode())


def added(text):
    return additions(BEFORE, read_leaderboard(text.encode()))


def test_names_that_were_added():
    found = added(WITH_TOY + "objectives: {toy_50: {method: toy, epochs: 50}}\n")
    assert (found.entries, found.objectives, found.others) == (["toy"], ["toy_50"], [])
    assert (found.tracks, found.full) == ({"small": ["toy"]}, {})


def test_layout_comments_anchors_and_merges_say_the_same():
    first, *others = LEADERBOARD.split("classes: [0, 1, 2]}")
    text = f"{first}classes: &ids [0, 1, 2]}} # the first{'classes: *ids}'.join(others)}"
    text = text.replace("inits: [scratch]", "inits:\n    - scratch", 1)
    assert added(f"# A comment.\n{text}") == additions(BEFORE, BEFORE)


FRAUDS = {  # what is replaced by what, and the key that is named
    "seeds left out because they were bad": ("seeds: [0, 1]", "seeds: [0]", "tracks.small.seeds"),
    "near and far swapped": ("    near:\n", "    other:\n", "tracks.small.near"),
    "another dataset under a name": (
        "dataset: uniform_noise",
        "dataset: glyphs",
        "tracks.small.far.noise.dataset",
    ),
    "another entry tuned": ("{k: 2}", "{k: 3}", "entries.knn.hyperparameters.k"),
    "another entry taken away": ("entries: [msp, knn, toy]", "entries: [msp, toy]", "tracks.small.entries"),
    "an entry listed twice": ("[msp, knn, toy]", "[msp, knn, toy, toy]", "tracks.small.entries"),
    "the order of rows": ("[msp, knn, toy]", "[knn, msp, toy]", "tracks.small.entries"),
    "what ranks a board": ("rank_by: near.auroc", "rank_by: far.auroc", "boards.small.rank_by"),
    "a board taken away": ("boards:\n  small:", "boards:\n  other:", "boards.small"),
    "how networks are trained": ("epochs: 1,", "epochs: 2,", "tracks.small.training.epochs"),
    "true for one": ("version: 1", "version: true", "version"),
    "true for one in a list": ("seeds: [0, 1]", "seeds: [0, true]", "tracks.small.seeds"),
    "a merged key": ("    title: A few", "    <<: {id_test: 1}\n    title: A few", "tracks.small.id_test"),
    "a new track": ("tracks:\n", "tracks:\n  more: {}\n", "tracks.more"),
}


@pytest.mark.parametrize("what", FRAUDS)
def test_all_else_is_named_by_its_key(what):
    old, new, key = FRAUDS[what]
    assert old in WITH_TOY
    assert any(name.startswith(key) for name, _ in added(WITH_TOY.replace(old, new, 1)).others)


@pytest.mark.parametrize("name", ["$(id)", "a b", "--full", "x;ls", "<b>", "../up", "x" * 70])
def test_names_are_safe_on_a_command_line(name):
    text = WITH_TOY.replace("  toy: {detector: toy}\n", f"  {json.dumps(name)}: {{detector: toy}}\n")
    found = added(text.replace("knn, toy]", f"knn, {json.dumps(name)}]"))
    assert {what for _, what in found.others} == {"is no name that can be taken"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "alias of a value that holds it"),
        ("version: 1\nversion: 2", "duplicate key"),
        ("x: !!python/object/apply:os.system [ls]", "tag"),
        ("x: " + "[" * 60 + "]" * 60, "nested more than"),
        ("x: " + "y" * 600_000, "characters"),
        ("x: \u202ey", "hidden character U\\+202E"),
        ("- x", "expected keys"),
    ],
)
def test_hostile_files_are_refused(text, said):
    with pytest.raises(SpecError, match=said):
        read_leaderboard(text.encode())


def test_what_is_no_text_is_refused():
    with pytest.raises(SpecError, match="not UTF-8"):
        read_leaderboard(b"\xff\xfe")
    with pytest.raises(SpecError, match="is not there"):
        read_leaderboard(None)
