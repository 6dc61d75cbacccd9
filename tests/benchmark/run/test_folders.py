"""Folders that may not be written, and disks that fill up."""

import errno
import os
from pathlib import Path

import pytest
from small_runs import Place, artifacts, planned, run

from benchmark.errors import DataError
from benchmark.records.text import record_path


def assert_nothing_computed(place):
    assert not list(place.cache.glob("objects/*/*"))


@pytest.mark.parametrize("which", ["--cache", "--results", "--site"])
def test_a_folder_below_a_file_is_refused_before_anything_is_computed(empty, cli, tmp_path, which):
    (tmp_path / "file").touch()
    code, said = cli(empty, which, tmp_path / "file" / "folder")
    assert code == 1
    assert f"oodbench: {tmp_path / 'file' / 'folder'}" in said
    assert "Not a directory; a part of the path is a file, expected folders" in said
    assert "Traceback" not in said
    assert_nothing_computed(empty)


@pytest.mark.parametrize("which", ["--cache", "--results", "--site"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_may_not_be_written_is_refused_before_anything_is_computed(
    empty, cli, tmp_path, monkeypatch, which, number
):
    folder = tmp_path / "refused"
    real = Path.mkdir

    def refuse(self, *arguments, **options):
        if folder in (self, *self.parents):
            raise OSError(number, os.strerror(number))
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, said = cli(empty, which, folder)
    assert code == 1
    assert f"{os.strerror(number)}; choose a folder" in said
    assert "Traceback" not in said
    assert_nothing_computed(empty)


@pytest.mark.parametrize("which", ["--cache", "--results", "--site"])
def test_a_disk_that_is_really_read_only_is_refused_before_anything_is_computed(
    empty, cli, small_disk, which
):
    folder = small_disk("size=64k")
    small_disk("ro")
    code, said = cli(empty, which, folder / "below")
    assert code == 1
    assert "Read-only file system; choose a folder that can be written" in said
    assert_nothing_computed(empty)


def test_a_cache_that_fills_up_ends_the_run_and_the_next_goes_on(reference, empty, small, cli, small_disk):
    disk = Place(small_disk("size=1400k") / "cache", empty.results)
    code, said = cli(disk)
    assert code == 1
    assert "No space left" in said
    assert str(disk.cache) in said
    assert "Traceback" not in said
    kept = set(artifacts(disk))
    assert 0 < len(kept) < len(planned(small).jobs)
    small_disk("size=32m")
    done, _ = run(small, disk)
    assert len(done) == len(planned(small).jobs) - len(kept)
    assert disk.measurements() == reference.measurements()
    assert not list(disk.cache.glob("damaged/*"))


def test_results_that_fill_up_are_reported_and_nothing_is_computed_twice(place, small, cli, small_disk):
    disk = Place(place.cache, small_disk("size=12k"))
    code, said = cli(disk)
    assert code == 1
    assert "No space left on device; free some space and run again; finished work is kept" in said
    small_disk("size=1m")
    assert run(small, disk)[0] == []
    assert disk.measurements() == place.measurements()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "the file: "),
        ("", "the file: "),
        ("<<<<<<< HEAD\n{}", "the file: "),
        ('{"schema_version": 1}', "schema_version: got 1, of an older oodbench"),
    ],
)
def test_a_record_file_that_cannot_be_read_is_named_before_anything_is_computed(
    empty, cli, small, text, complaint
):
    path = record_path(empty.results, "small", "knn")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    code, said = cli(empty)
    assert code == 1
    assert f"oodbench: {path}: {complaint}" in said
    assert path.read_text() == text
    assert_nothing_computed(empty)
    with pytest.raises(DataError, match=r"knn\.json"):
        run(small, empty)
