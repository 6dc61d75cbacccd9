"""`oodbench new`: what it says, and how mistakes end."""

import pytest
from command_line import Command, squeezed
from small_checkout import checkout_in, tree_of

from benchmark.scaffold import checkout as module
from reports.console.new import KINDS


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    checkout_in(tmp_path, monkeypatch)
    return Command(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_method_and_the_next_commands(command, kind):
    code, out, err = command("new", kind, "toy_new")
    assert (code, err) == (0, "")
    made, test, *added, title, edit, check, run = out.splitlines()
    files = [line.split()[1] for line in (made, test)]
    assert [line.split()[0] for line in (made, test)] == ["new", "new"]
    assert all((command.folder / file).is_file() for file in files)
    assert added[0].startswith("added    leaderboard.yaml: ")
    assert (title, edit, check) == ("Next:", f"  $EDITOR {' '.join(files)}", "  oodbench check toy_new")
    assert run.startswith("  oodbench run --track small --")


def test_a_detector_to_the_letter(command, monkeypatch):
    monkeypatch.chdir(command.folder / "tests")
    code, out, _ = command("new", "detector", "toy_new", "--track", "small")
    assert code == 0
    assert out == (
        "new      methods/detectors/toy_new.py\n"
        "new      tests/methods/detectors/test_toy_new.py\n"
        "added    leaderboard.yaml: entries.toy_new\n"
        "added    leaderboard.yaml: tracks.small.entries\n"
        "Next, in ..:\n"
        "  $EDITOR methods/detectors/toy_new.py tests/methods/detectors/test_toy_new.py\n"
        "  oodbench check toy_new\n"
        "  oodbench run --track small --entry toy_new\n"
    )
    assert command("new", "detector", "toy_new")[0] == 2  # it is there now


def test_a_dataset_and_a_track_of_it(command):
    code, out, _ = command("new", "dataset", "toy_new", "--hub", "owner/toy")
    assert code == 0
    assert "added    leaderboard.yaml: datasets.toy_new\n" in out
    code, out, _ = command("new", "track", "toy_track", "--dataset", "digits", "--near", "glyphs")
    assert code == 0
    assert "added    leaderboard.yaml: tracks.toy_track\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detectr", "toy"], "No such command 'detectr'. Did you mean 'detector'"),
        (["detector"], "Missing argument 'NAME'"),
        (["detector", "../toy"], "detector name '../toy': expected lower_snake_case"),
        (["detector", "class"], "detector name 'class': is a word of Python; expected another"),
        (["detector", "energy"], "'energy' is taken, by methods/detectors/energy.py; expected another name"),
        (["attack", "toy", "--track", "nowhere"], "--track: no track 'nowhere'; there are: small"),
        (["dataset", "toy"], "expected one of --folder, --parquet and --hub"),
        (["track", "toy", "--dataset", "digits"], "--near: expected at least one dataset"),
        (["track", "toy"], "Missing option '--dataset'"),
    ],
)
def test_a_mistake_exits_2_and_leaves_nothing(command, arguments, message):
    before = tree_of(command.folder)
    code, out, err = command("new", *arguments)
    assert (code, out) == (2, "")
    assert message in squeezed(err)
    assert tree_of(command.folder) == before


def test_an_installation_exits_2_and_says_why(command, monkeypatch):
    monkeypatch.setattr(module, "HOME", command.folder / "elsewhere")
    (command.folder / "methods" / "base.py").unlink()
    code, out, err = command("new", "detector", "toy_new")
    assert (code, out) == (2, "")
    assert "has a leaderboard and not the sources of oodbench" in err
    assert "clone the repository" in err


def test_a_leaderboard_that_is_wrong_exits_2_and_names_the_place(command):
    path = command.folder / "leaderboard.yaml"
    path.write_text(path.read_text().replace("image_size: 16", "image_size: big"))
    code, _, err = command("new", "detector", "toy_new")
    assert code == 2
    assert "leaderboard.yaml:5: tracks.small.image_size: " in err
    assert not (command.folder / "methods" / "detectors" / "toy_new.py").exists()
