"""The checkout that is added to: which one it is, and that it is written as a whole or not at all."""

import pytest
from small_checkout import checkout_in, tree_of

from benchmark.errors import StorageError, UsageError
from benchmark.scaffold import checkout as module
from benchmark.scaffold.checkout import Addition, Checkout, find_checkout

FILES = {"methods/detectors/toy.py": "one\n", "tests/benchmark/tracks/test_toy.py": "two\n"}


def addition(checkout, files=FILES):
    return Addition(
        files, checkout.text.replace("msp: {", "toy: {detector: msp}\n  msp: {"), ("entries.toy",), ()
    )


def test_everything_is_written(checkout):
    before = checkout.text
    checkout.write(addition(checkout))
    assert {name: (checkout.root / name).read_text() for name in FILES} == FILES
    now = checkout.leaderboard.read_text()
    assert now.replace("  toy: {detector: msp}\n", "") == before != now


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_is_overwritten(checkout, name, kind):
    path = checkout.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file":
            path.write_text("mine")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("nowhere")
    before = tree_of(checkout.root)
    with pytest.raises(UsageError, match=f"{name}: is there already; nothing is overwritten"):
        checkout.write(addition(checkout))
    assert tree_of(checkout.root) == before


def test_where_a_folder_cannot_be_made_nothing_is_left(checkout):
    (checkout.root / "tests" / "benchmark").write_text("a file")
    before = tree_of(checkout.root)
    with pytest.raises(StorageError, match=r"test_toy\.py: "):
        checkout.write(addition(checkout))
    assert tree_of(checkout.root) == before


def test_where_the_leaderboard_cannot_be_written_nothing_is_left(checkout, monkeypatch):
    def full(path, content):
        raise StorageError(f"{path}: No space left on device")

    before = tree_of(checkout.root)
    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(StorageError, match="No space left"):
        checkout.write(addition(checkout))
    assert tree_of(checkout.root) == before


def test_a_person_who_interrupts_finds_nothing_left(checkout, monkeypatch):
    def interrupted(path, content):
        raise KeyboardInterrupt

    before = tree_of(checkout.root)
    monkeypatch.setattr(module, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkout.write(addition(checkout))
    assert tree_of(checkout.root) == before


def test_what_another_wrote_meanwhile_is_kept(checkout):
    ready = addition(checkout)
    with checkout.leaderboard.open("a") as file:
        file.write("# another\n")
    before = tree_of(checkout.root)
    with pytest.raises(UsageError, match=r"leaderboard\.yaml: was changed meanwhile; run the command again"):
        checkout.write(ready)
    assert tree_of(checkout.root) == before


def test_a_leaderboard_that_is_a_link_stays_one(checkout):
    elsewhere = checkout.root / "elsewhere.yaml"
    checkout.leaderboard.rename(elsewhere)
    checkout.leaderboard.symlink_to(elsewhere)
    linked = Checkout(elsewhere)  # as `find_checkout` resolves it
    linked.write(addition(linked))
    assert checkout.leaderboard.is_symlink()
    assert "toy" in elsewhere.read_text()


def test_it_is_found_from_a_folder_below_and_by_name(checkout, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(checkout.root / "methods" / "detectors")
    assert find_checkout(None) == checkout
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert find_checkout(checkout.leaderboard) == checkout


def test_an_installation_without_sources_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "leaderboard.yaml").write_text("version: 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as told:
        find_checkout(None)
    assert str(told.value).startswith(
        f"{tmp_path}: has a leaderboard and not the sources of oodbench (methods/"
    )
    assert "clone the repository" in str(told.value)


def test_a_checkout_that_oodbench_does_not_run_from_says_so(tmp_path, monkeypatch):
    home = module.HOME
    checkout_in(tmp_path, monkeypatch)
    monkeypatch.setattr(module, "HOME", home)
    with pytest.raises(UsageError, match=f"{tmp_path}: is a checkout, but oodbench runs from {home}, which"):
        find_checkout(None)


def test_a_folder_that_cannot_be_written_is_refused_first(checkout, monkeypatch):
    def read_only(folder):
        raise StorageError(f"{folder}: Read-only file system; choose a folder that can be written")

    monkeypatch.setattr(module, "require_writable", read_only)
    with pytest.raises(StorageError, match="Read-only file system"):
        find_checkout(None)
