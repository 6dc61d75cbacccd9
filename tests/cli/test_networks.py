"""`oodbench networks`: what was trained once is had by others, and nothing is believed without a check."""

import json
import re
import shutil

import pytest
import torch
from command_line import Command
from safetensors.torch import load_file, save_file
from small_leaderboard import SMALL
from small_runs import Place, run

from benchmark.networks.cards import CARD, keys_in
from benchmark.store.artifacts import Store

COMMIT = "a" * 40
ELSEWHERE = SMALL.replace(
    "    seeds:", f"    trained: {{repository: lab/nets, revision: {COMMIT}}}\n    seeds:"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the small leaderboard."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "leaderboard.yaml").write_text(SMALL)
    place = Place(folder / "cache", folder / "runs")
    run(folder / "leaderboard.yaml", place)
    return folder, place


@pytest.fixture
def command(trained, monkeypatch, capsys, tmp_path):
    """The command line with the cache of that run, in a folder of its own."""
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    made = Command(monkeypatch, capsys, tmp_path)
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("OODBENCH_CACHE", str(trained[1].cache))
    return made


@pytest.fixture
def exported(command, monkeypatch, tmp_path):
    """A folder of its networks; the cache is an empty one from here on."""
    code, out, _ = command("networks", "export", "nets", "--licence", "mit")
    assert (code, out) == (0, out)
    assert out.startswith("2 networks written to nets (")
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "empty"))
    return tmp_path / "nets"


def card_of(folder, name, **changes):
    """Change the card of a network."""
    path = folder / "networks" / name / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_with_networks_at_hand_nothing_is_trained_and_records_are_equal(trained, command, exported, tmp_path):
    code, out, err = command("networks", "get", "--from", exported)
    assert (code, out) == (0, "2 networks put into the cache; 0 were there; 0 are trained by `run`\n")
    assert err.count("got small tiny scratch seed") == 2
    place = Place(tmp_path / "empty", tmp_path / "runs")
    done, summary = run(tmp_path / "leaderboard.yaml", place)
    assert not [label for label in done if label.endswith(": train")]
    assert place.measurements() == trained[1].measurements()
    assert summary.failed == 0
    assert command("networks", "get", "--from", exported)[1].startswith(
        "0 networks put into the cache; 2 were there"
    )


def test_a_part_is_exported_and_the_rest_added_later(command, tmp_path):
    assert command("networks", "export", "nets", "--licence", "mit", "--seed", 1)[1].startswith(
        "1 networks written"
    )
    out = command("networks", "export", "nets", "--licence", "mit")[1]
    assert re.match(r"1 networks written to nets \(\d+\.\d MB\); 1 were there", out)
    assert (tmp_path / "nets" / "README.md").read_text().startswith('---\nlicense: "mit"\n')
    assert len(keys_in(tmp_path / "nets")) == 2


def test_what_the_cache_lacks_is_named(command, monkeypatch, tmp_path):
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "none"))
    code, out, err = command("networks", "export", "nets", "--licence", "mit")
    assert (code, out) == (1, "0 networks written to nets (0.0 MB); 0 were there\n")
    assert "not in the cache, run the tracks first: 2: small tiny scratch seed 0: train" in err


def test_the_repository_of_the_leaderboard_is_read_from_the_mirror(command, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "mirror" / "lab" / "nets")
    text = SMALL.replace(
        "    seeds:", f"    trained: {{repository: lab/nets, revision: {COMMIT}}}\n    seeds:"
    )
    (tmp_path / "leaderboard.yaml").write_text(text)
    assert command("networks", "get")[:2] == (
        0, "2 networks put into the cache; 0 were there; 0 are trained by `run`\n"
    )  # fmt: skip


def test_the_repository_is_fetched_at_its_commit_where_no_mirror_is(command, exported, monkeypatch, tmp_path):
    import huggingface_hub

    asked = []

    def snapshot(name, *, revision, allow_patterns):
        asked.append((name, revision, len(allow_patterns)))
        return str(exported)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    text = SMALL.replace(
        "    seeds:", f"    trained: {{repository: lab/nets, revision: {COMMIT}}}\n    seeds:"
    )
    (tmp_path / "leaderboard.yaml").write_text(text)
    assert command("networks", "get")[0] == 0
    assert asked == [("lab/nets", COMMIT, 3)]  # two networks, and all cards


def test_a_repository_that_cannot_be_had_is_named(command, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "none"))

    def refuse(*_, **__):
        raise ConnectionError

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    text = SMALL.replace(
        "    seeds:", f"    trained: {{repository: lab/nets, revision: {COMMIT}}}\n    seeds:"
    )
    (tmp_path / "leaderboard.yaml").write_text(text)
    code, _, err = command("networks", "get")
    assert code == 1
    assert f"lab/nets at {COMMIT}: networks cannot be had (ConnectionError)" in err


def test_without_a_place_it_says_how_to_name_one(command):
    code, _, err = command("networks", "get")
    assert code == 2
    assert "expected --from FOLDER" in err


def test_networks_of_other_libraries_are_named_and_trained_here(command, exported, tmp_path):
    for key in keys_in(exported):
        folder, other = exported / "networks" / key, key[::-1]
        folder.rename(folder.with_name(other))
        made = json.loads((exported / "networks" / other / CARD).read_text())["environment"]
        card_of(
            exported,
            other,
            key=other,
            environment={**made, "libraries": {**made["libraries"], "torch": "1.0"}},
        )
    code, out, err = command("networks", "get", "--from", exported)
    assert (code, out) == (0, "0 networks put into the cache; 0 were there; 2 are trained by `run`\n")
    assert f"made with torch 1.0, here {torch.__version__.partition('+')[0]}" in err


def test_a_folder_without_networks_is_an_error(command, tmp_path):
    (tmp_path / "nothing").mkdir()
    for words in (("get", "--from", "nothing"), ("check", "nothing")):
        code, _, err = command("networks", *words)
        assert code == 1
        assert "nothing: expected a folder networks/ in it" in err


def test_networks_that_are_fine_pass_the_check(trained, command, exported, tmp_path):
    for published in (trained[1].results, tmp_path / "none"):
        assert command("networks", "check", exported, "--published", published)[:2] == (
            0, "2 networks checked, 0 with something wrong\n"
        )  # fmt: skip


def altered_weights(folder, key):
    path = folder / "networks" / key / "model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, path)


def not_a_number(folder, key):
    path = folder / "networks" / key / "model.safetensors"
    weights = load_file(path)
    next(one for one in weights.values() if one.is_floating_point()).view(-1)[0] = torch.nan
    save_file(weights, path)
    told(folder, key)


def told(folder, key):
    """A card that fits the files as they are."""
    from benchmark.store.files import sha256_of

    path = folder / "networks" / key
    files = {
        one.name: {"sha256": sha256_of(one), "bytes": one.stat().st_size}
        for one in path.iterdir()
        if one.name != CARD
    }
    card_of(folder, key, files=files)


def cut_short(folder, key):
    path = folder / "networks" / key / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def a_pickle(folder, key):
    path = folder / "networks" / key / "model.safetensors"
    path.write_bytes(b"\x80\x04}\x94." * 10)
    told(folder, key)


def one_more(folder, key):
    (folder / "networks" / key / "setup.py").write_text("1/0")


def missing(folder, key):
    (folder / "networks" / key / "about.json").unlink()


def a_link(folder, key):
    path = folder / "networks" / key / "about.json"
    path.unlink()
    path.symlink_to("/etc/hostname")


def out_of_the_folder(folder, key):
    card_of(folder, key, files={"../../leaderboard.yaml": {"sha256": "0" * 64, "bytes": 10}})


def another_key(folder, key):
    card_of(folder, key, key="0" * 32)


def huge_card(folder, key):
    (folder / "networks" / key / CARD).write_text(" " * (1 << 21))


def deep_card(folder, key):
    (folder / "networks" / key / CARD).write_text("[" * 100_000)


def no_card(folder, key):
    (folder / "networks" / key / CARD).unlink()


def a_pipe(folder, key):
    import os

    (folder / "networks" / key / CARD).unlink()
    os.mkfifo(folder / "networks" / key / CARD)


def infinite_seconds(folder, key):
    path = folder / "networks" / key / CARD
    path.write_text(re.sub(r'"seconds": [0-9.e-]+', '"seconds": Infinity', path.read_text()))


BROKEN = {
    altered_weights: "its card says",
    not_a_number: "holds NaN or infinity",
    cut_short: "100 bytes; its card says",
    a_pickle: "cannot be read as safetensors",
    one_more: "setup.py: not on the card",
    missing: "about.json: is missing",
    a_link: "about.json: is not a regular file",
    out_of_the_folder: "cannot be a file of a network",
    another_key: "the name of its folder",
    huge_card: "expected a regular file of at most",
    deep_card: "expected the card of a network",
    no_card: "cannot be read: No such file",
    a_pipe: "expected a regular file of at most",
    infinite_seconds: "expected the card of a network",
}


@pytest.mark.parametrize("how", BROKEN, ids=lambda how: how.__name__)
def test_what_is_not_as_it_says_is_refused_by_both_and_the_others_are_taken(command, exported, how, tmp_path):
    key = keys_in(exported)[0]
    how(exported, key)
    code, out, err = command("networks", "get", "--from", exported)
    assert code == 1
    assert out.startswith("1 networks put into the cache; 0 were there")
    assert BROKEN[how] in err
    assert not Store(tmp_path / "empty").has(key)
    code, out, _ = command("networks", "check", exported, "--published", tmp_path / "none")
    assert code == 1
    assert BROKEN[how] in out
    assert "2 networks checked, 1 with something wrong" in out


def test_weights_that_the_published_records_do_not_stand_on_are_found(trained, command, exported):
    key = keys_in(exported)[0]
    altered_weights(exported, key)
    told(exported, key)
    code, out, _ = command("networks", "check", exported, "--published", trained[1].results)
    assert code == 1
    assert "the published records stand on" in out


def test_a_network_of_another_plan_is_found(command, exported, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL.replace("lr: 0.003", "lr: 0.004"))
    code, out, _ = command("networks", "check", exported, "--published", tmp_path / "none")
    assert code == 1
    assert "today's key is another" in out


def test_a_kill_while_it_exports_leaves_no_half_of_a_network(command, monkeypatch, tmp_path):
    import benchmark.networks.export as module

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.shutil, "copyfile", stop)
    command("networks", "export", "nets", "--licence", "mit")
    assert keys_in(tmp_path / "nets") == []
    assert not [*(tmp_path / "nets" / "networks").iterdir()]
