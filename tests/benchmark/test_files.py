"""Files are written whole or not at all, and a refusal names the path and what to do."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from benchmark.errors import StorageError
from benchmark.store.files import require_writable, storage_errors, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_text_is_written_as_it_is(tmp_path):
    path = tmp_path / "a" / "b" / "text.txt"
    write_atomically(path, "first\n")
    write_atomically(path, "ä – 数\nno end of line")
    assert path.read_bytes() == "ä – 数\nno end of line".encode()
    assert names(path.parent) == ["text.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("owner", "call"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, owner, call, error):
    path = tmp_path / "text.txt"
    write_atomically(path, "old")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(owner, call, fail)
    with pytest.raises(StorageError if isinstance(error, OSError) else KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["text.txt"]


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
    path = tmp_path / "text.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["text.txt"]


def test_the_text_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(os.fstat(handle).st_size), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda old, new: (calls.append("replace"), replace(old, new)))
    write_atomically(tmp_path / "text.txt", "12345")
    assert calls == [5, "replace"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space and run again; finished work is kept"),
        (errno.EROFS, "choose a folder that can be written"),
        (errno.EACCES, "choose a folder that you may write to"),
        (errno.ENOTDIR, "a part of the path is a file, expected folders"),
        (errno.EEXIST, "there is a file of that name, expected a folder"),
        (errno.EIO, "check the path"),
    ],
)
def test_a_refusal_names_the_path_the_cause_and_what_to_do(number, advice):
    with pytest.raises(StorageError) as caught, storage_errors(Path("/some/where")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"/some/where: {os.strerror(number)}; {advice}"
    assert caught.value.exit_code == 1
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_without_a_number_is_reported_in_its_own_words():
    with pytest.raises(StorageError, match="/x: out of paper; check the path"), storage_errors(Path("/x")):
        raise OSError("out of paper")


def test_other_errors_are_not_the_disks():
    with pytest.raises(ZeroDivisionError), storage_errors(Path("/x")):
        _ = 1 / 0


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    require_writable(tmp_path / "new" / "folder")
    assert names(tmp_path / "new" / "folder") == []


@pytest.mark.parametrize("use", [require_writable, lambda folder: write_atomically(folder / "text.txt", "x")])
def test_a_folder_below_a_file_is_refused(tmp_path, use):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"Not a directory; a part of the path is a file"):
        use(tmp_path / "file" / "folder")
    with pytest.raises(StorageError, match=r"File exists; there is a file of that name, expected a folder"):
        use(tmp_path / "file")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_in_which_nothing_can_be_made_is_refused(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StorageError, match=os.strerror(number)):
        require_writable(tmp_path)


def test_a_disk_that_is_really_read_only(small_disk):
    folder = small_disk("size=64k")
    write_atomically(folder / "text.txt", "old")
    small_disk("ro")
    for refused in (lambda: require_writable(folder), lambda: write_atomically(folder / "text.txt", "new")):
        with pytest.raises(StorageError, match="Read-only file system; choose a folder that can be written"):
            refused()
    assert (folder / "text.txt").read_text() == "old"


def test_a_disk_that_is_really_full(small_disk):
    folder = small_disk("size=64k")
    write_atomically(folder / "text.txt", "old")
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        write_atomically(folder / "text.txt", "x" * 2**17)
    assert (folder / "text.txt").read_text() == "old"
    assert names(folder) == ["text.txt"]
    with (folder / "filler").open("wb", buffering=0) as file:
        while shutil.disk_usage(folder).free:
            file.write(b"0" * 4096)
    with pytest.raises(StorageError, match="No space left"):
        require_writable(folder)
