"""`oodbench networks`: what was trained once is had by others, and nothing is believed without a check."""

import json
import re
import shutil

import pytest
from command_line import Command
from network_files import COMMIT, folder_of, keys, rename, seal
from small_leaderboard import SMALL
from small_runs import Place, run

ELSEWHERE = SMALL.replace(
    "    seeds:", f"    trained: {{repository: lab/nets, revision: {COMMIT}}}\n    seeds:"
)


@pytest.fixture
def command(ran, monkeypatch, capsys, tmp_path):
    """The command line with the cache of a run, in a folder of its own."""
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    made = Command(monkeypatch, capsys, tmp_path)
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("OODBENCH_CACHE", str(ran.folder / "cache"))
    return made


@pytest.fixture
def nets(command, monkeypatch, tmp_path):
    """A folder of its networks; the cache is an empty one from here on."""
    code, out, _ = command("networks", "export", "nets", "--licence", "mit")
    assert code == 0
    assert re.fullmatch(
        r"2 networks written to nets \(\d+\.\d MB\); 0 were there\nSHA-256 of its index: [0-9a-f]{64}\n", out
    )
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "empty"))
    return tmp_path / "nets"


def test_with_networks_at_hand_nothing_is_trained_and_records_are_equal(ran, command, nets, tmp_path):
    code, out, err = command("networks", "get", "--from", nets)
    assert (code, out) == (0, "2 networks put into the cache; 0 were there; 0 are trained by `run`\n")
    assert err.count("got small tiny scratch seed") == 2
    place = Place(tmp_path / "empty", tmp_path / "runs")
    done, summary = run(tmp_path / "leaderboard.yaml", place)
    assert not [label for label in done if label.endswith(": train")]
    assert place.measurements() == Place(ran.folder / "cache", ran.folder / "runs").measurements()
    assert summary.failed == 0
    again = command("networks", "get", "--from", nets)[1]
    assert again == "0 networks put into the cache; 2 were there; 0 are trained by `run`\n"


def test_a_part_is_had(command, nets):
    out = command("networks", "get", "--from", nets, "--seed", 1)[1]
    assert out.startswith("1 networks put into the cache; 0 were there; 0 are trained")
    out = command("networks", "list")[1]
    assert [line.rpartition("\t")[2] for line in out.splitlines()] == ["no", "yes"]
    listed = json.loads(command("networks", "list", "--json")[1])
    assert [one["in_the_cache"] for one in listed["networks"]] == [False, True]


def test_what_the_cache_lacks_is_named(command, monkeypatch, tmp_path):
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "none"))
    code, out, err = command("networks", "export", "nets", "--licence", "mit")
    assert code == 1
    assert out.startswith("0 networks written to nets (0.0 MB); 0 were there\n")
    assert "not in the cache, run the tracks first: 2: small tiny scratch seed 0: train" in err


def test_the_repositories_of_the_leaderboard_are_taken_each_for_its_tracks(command, nets, tmp_path):
    second = (
        ELSEWHERE.split("tracks:\n")[1].split("backbones:\n  tiny")[0].replace("  small:\n", "  other:\n", 1)
    )
    second = second.replace("lab/nets", "lab/others").replace("epochs: 1", "epochs: 2")
    text = ELSEWHERE.replace("backbones:\n  tiny", f"{second}backbones:\n  tiny")
    (tmp_path / "leaderboard.yaml").write_text(text)
    shutil.copytree(nets, tmp_path / "mirror" / "lab" / "nets")
    shutil.copytree(nets, tmp_path / "mirror" / "lab" / "others")
    code, out, err = command("networks", "get")
    assert (code, out) == (0, "2 networks put into the cache; 0 were there; 2 are trained by `run`\n")
    assert "not to be had: not among these networks: 2: other tiny scratch seed 0: train; other" in err


def test_what_one_repository_lacks_does_not_keep_from_the_other(command, nets, tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "leaderboard.yaml").write_text(ELSEWHERE)
    code, out, err = command("networks", "get")
    assert code == 1
    assert f"lab/nets at {COMMIT}: networks cannot be had" in err
    assert "not to be had: lab/nets cannot be had: 2: " in err
    assert out == "0 networks put into the cache; 0 were there; 2 are trained by `run`\n"


def test_without_a_place_it_says_how_to_name_one(command, nets):
    code, _, err = command("networks", "get")
    assert code == 2
    assert "`trained:` in leaderboard.yaml); expected --from FOLDER" in err


@pytest.mark.parametrize("revision", ["main", "a" * 39, "A" * 40])
def test_a_revision_that_may_move_is_refused(command, revision, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(ELSEWHERE.replace(COMMIT, revision))
    code, _, err = command("networks", "get")
    assert code == 2
    assert "tracks.small.trained.revision" in err


def test_a_folder_without_networks_is_an_error(command, tmp_path):
    (tmp_path / "nothing").mkdir()
    for words in (("get", "--from", "nothing"), ("check", "nothing")):
        code, _, err = command("networks", *words)
        assert code == 1
        assert "nothing/index.json: cannot be read: No such file or directory" in err


def test_what_is_wrong_is_one_line_each_and_the_exit_code(command, nets, ran):
    published = ran.folder / "runs"
    code, out, _ = command("networks", "check", nets, "--published", published)
    assert (code, out) == (0, "2 networks checked, 0 findings\n")
    (folder_of(nets, keys(nets)[0]) / "model.safetensors").write_bytes(b"\x1b[31mnot weights")
    rename(nets, keys(nets)[1], "0" * 32)
    code, out, _ = command("networks", "check", nets, "--published", published)
    assert code == 1
    assert out.endswith("2 networks checked, 2 findings\n")
    assert len(out.splitlines()) == 3
    code, out, err = command("networks", "get", "--from", nets)
    assert code == 1
    assert out.startswith("0 networks put into the cache; 0 were there; 2 are trained")
    assert err.count("refused: ") == 1


def test_what_a_card_says_never_reaches_the_terminal_as_it_is(command, nets):
    seal(nets, keys(nets)[0], licence="mit", place={"kind": "train", "track": "\x1b[31m", "backbone": "a\nb"})
    code, out, err = command("networks", "check", nets)
    assert code == 1
    assert "\x1b" not in out + err
