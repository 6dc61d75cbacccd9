"""`oodbench cache`."""

import shutil


def test_the_cache_is_described_and_cleared(command, ran):
    copy = command.folder / "cache"
    shutil.copytree(ran.folder / "cache", copy)
    assert command("cache")[1].startswith(f"{copy}: 24 artifacts, ")
    code, out, _ = command("cache", "--clear")
    assert (code, out) == (0, f"{copy}: 0 artifacts, 0 MB\n")
    assert not list(copy.glob("objects/*"))
    assert command("plan")[1].count("24") == 2  # needed and to run


def test_a_cache_that_is_not_there_is_empty_and_not_made(command):
    code, out, _ = command("cache", "--cache", "nowhere")
    assert (code, out) == (0, "nowhere: 0 artifacts, 0 MB\n")
    assert not (command.folder / "nowhere").exists()
