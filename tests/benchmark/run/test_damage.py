"""Damaged files of a cache are found and made again."""

import shutil

import pytest
from small_runs import artifacts, assert_sound, cells, lose, planned, run

from benchmark.errors import StorageError
from benchmark.jobs.job import Kind
from benchmark.store.artifacts import MANIFEST, Store

OF_STUDIES = {Kind.TRAINING_SET, Kind.ATTACK, Kind.CORRUPT, Kind.ASSESS, Kind.STUDY}


OF_SHARDS = {Kind.GATHER, Kind.CHOOSE}
# That the small leaderboard has not.
ELSEWHERE = {Kind.PRETRAIN, Kind.TUNE, Kind.BOUNDARY, *OF_STUDIES, *OF_SHARDS}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in ELSEWHERE])
def test_a_damaged_file_of_any_kind_is_computed_again(place, reference, small, kind):
    """Lost records make the run look at what the cache holds."""
    key = next(job.key for job in planned(small).jobs.values() if job.kind == kind)
    for path in (place.cache / "objects" / key[:2] / key).iterdir():
        if path.name != MANIFEST:
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    shutil.rmtree(place.results)
    # A network is read again only for features that are not there.
    readers = {"score", "measure", "classify", *(["extract"] if kind == Kind.TRAIN else [])}
    later = [k for k, made in artifacts(place).items() if made in readers]
    lose(place, *(k for k in later if k != key))
    done, _ = run(small, place)
    assert planned(small).jobs[key].label in done
    assert place.measurements() == reference.measurements()
    assert [path.name.partition("-")[0] for path in place.cache.glob("damaged/*")] == [key]
    assert_sound(place, planned(small))


def test_a_damaged_measurement_is_found_when_its_record_is_read(place, reference, small):
    plan = planned(small)
    for file in ("cell.json", MANIFEST):
        path = place.cache / "objects" / plan.cells[0].key[:2] / plan.cells[0].key / file
        path.write_text(path.read_text()[:-10])
        done, summary = run(small, place)
        assert done == [plan.jobs[plan.cells[0].key].label]
        assert len(cells(summary)) == 4
    assert place.measurements() == reference.measurements()


def test_a_disk_that_damages_what_is_written_is_an_error_and_no_cell_is_lost_silently(
    place, small, monkeypatch
):
    plan = planned(small)
    victim = plan.cells[0].key

    def forget_the_checksum(self, key, temporary, made, commit=Store._commit):
        commit(self, key, temporary, made)
        if key == victim:
            (self.folder(key) / "cell.json").write_text("{}")

    monkeypatch.setattr(Store, "_commit", forget_the_checksum)
    Store(place.cache).set_aside(victim)
    with pytest.raises(StorageError, match="damaged when it is read, 3 times over; check the disk"):
        run(small, place)
    monkeypatch.undo()
    assert len(cells(run(small, place)[1])) == 4
