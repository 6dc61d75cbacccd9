"""Networks of a repository: of the mirror, else by the Hub's own library, from files as it keeps them."""

import shutil

import huggingface_hub
import pytest
from network_files import COMMIT, as_in_the_hubs_cache, keys

from benchmark.errors import DataError
from benchmark.networks.get import get
from benchmark.networks.published import shelf_of
from benchmark.networks.shelf import Shelf
from benchmark.spec.networks import Repository
from benchmark.store.artifacts import Store

THERE = Repository(repository="lab/nets", revision=COMMIT)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A machine without network, an empty mirror and an empty cache of the Hub."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_what_the_hubs_library_has_is_taken(hub, nets, asked, tmp_path):
    as_in_the_hubs_cache(nets, hub)
    shelf, store = shelf_of(THERE, asked), Store(tmp_path / "cache")
    assert shelf.root.is_relative_to(hub)
    got = get(asked, store, shelf)
    assert sorted(card.key for card in got.fetched) == keys(nets)
    for key in asked:
        assert all(path.is_file() and not path.is_symlink() for path in store.open(key).folder.iterdir())


def test_a_link_out_of_the_hubs_cache_is_refused(hub, nets, asked, tmp_path):
    snapshot = as_in_the_hubs_cache(nets, hub)
    bad = snapshot / "networks" / keys(nets)[0] / "model.safetensors"
    bad.unlink()
    bad.symlink_to(nets / "networks" / keys(nets)[0] / "model.safetensors")
    got = get(asked, Store(tmp_path / "cache"), shelf_of(THERE, asked))
    assert list(got.refused) == [keys(nets)[0]]


def test_the_mirror_comes_first(hub, nets, asked, tmp_path):
    shutil.copytree(nets, tmp_path / "mirror" / "lab" / "nets")
    shelf = shelf_of(THERE, asked)
    assert shelf == Shelf(tmp_path / "mirror" / "lab" / "nets")
    assert len(get(asked, Store(tmp_path / "cache"), shelf).fetched) == 2


def test_only_what_is_wanted_and_there_is_fetched_at_the_commit(hub, nets, asked, monkeypatch):
    snapshot, calls = as_in_the_hubs_cache(nets, hub), []

    def fetch(name, *, revision, allow_patterns):
        calls.append((name, revision, allow_patterns))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    key = keys(nets)[0]
    assert shelf_of(THERE, [key, "0" * 32]).root == snapshot
    [(name, revision, patterns)] = calls
    assert (name, revision) == ("lab/nets", COMMIT)
    files = (
        "about.json",
        "card.json",
        "history.json",
        "kept.safetensors",
        "model.safetensors",
        "source.json",
    )
    assert sorted(patterns) == [f"networks/{key}/{file}" for file in files]
    shelf_of(THERE, ["0" * 32])
    assert len(calls) == 1


def test_a_repository_that_cannot_be_had_is_an_error_that_says_what_to_do(hub, asked, tmp_path):
    with pytest.raises(DataError, match=f"lab/nets at {COMMIT}: networks cannot be had") as refused:
        shelf_of(THERE, asked)
    assert f"put the repository into the mirror as {tmp_path / 'mirror' / 'lab' / 'nets'}" in str(
        refused.value
    )


@pytest.mark.parametrize("place", ["hub", "mirror"])
def test_another_index_than_leaderboard_yaml_says_is_refused(place, hub, nets, asked, tmp_path):
    right, other = Shelf(nets).sha256, "0" * 64
    if place == "hub":
        as_in_the_hubs_cache(nets, hub)
    else:
        shutil.copytree(nets, tmp_path / "mirror" / "lab" / "nets")
    for sha256, taken in ((right, True), (other, False)):
        where = THERE.model_copy(update={"sha256": sha256})
        if taken:
            assert shelf_of(where, asked).index(sha256).networks.keys() == asked.keys()
            continue
        with pytest.raises(DataError, match=f"SHA-256 {right}; leaderboard.yaml says {other}"):
            get(asked, Store(tmp_path / "cache"), shelf_of(where, asked), index=sha256)
