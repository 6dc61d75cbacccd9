"""What of one's own records may be published: finished, of today, and so that networks stay shared (U10)."""

from pathlib import Path

import pytest
from own_runs import WAY, fill
from small_leaderboard import SMALL
from two_sides import file, record

from benchmark.errors import DataError, UsageError
from benchmark.plan.make import Selection, make_plan
from benchmark.records.files import iterate, read_records
from benchmark.records.place import Place
from benchmark.records.publishing import prepare
from benchmark.records.record import DETECTION, PLANE, TRAININGS, Record, RecordFile
from benchmark.records.results import read_all, write_records
from benchmark.records.text import record_path
from benchmark.spec.load import load_spec


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "leaderboard.yaml"
    path.write_text(SMALL)
    return load_spec(path)


@pytest.fixture(scope="module")
def plan(spec):
    return make_plan(spec, Selection(full=True))


@pytest.fixture
def runs(tmp_path, plan):
    return fill(tmp_path / "runs", plan, "own")


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def cell(entry: str, seed: int) -> Place:
    return Place("small", DETECTION, entry, "tiny", "scratch", seed)


CELLS = tuple(cell(entry, seed) for entry in ("knn", "msp") for seed in (0, 1))


def change(folder: Path, entry: str, seed: int, /, **changes) -> None:
    """Change one record of a folder."""
    path = record_path(folder, "small", entry)
    made = read_records(path)
    records = [r.model_copy(update=changes) if r.seed == seed else r for r in made.records]
    write_records(path, made.model_copy(update={"records": records}))


def reasons(found) -> dict[Place, str]:
    return {place: refused.reason for refused in found.refused for place in refused.places}


def state(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.json")}


def test_all_that_is_finished_and_of_today_is_published(plan, runs, results):
    found = prepare(plan, runs, results)
    assert (sorted(found.new), found.changed, found.unchanged, found.refused) == (sorted(CELLS), (), (), ())
    assert not results.exists()
    assert found.write()
    assert list(iterate(results)) == list(iterate(runs))


def test_publishing_twice_changes_nothing(plan, runs, results):
    prepare(plan, runs, results).write()
    before = state(results)
    again = prepare(plan, runs, results)
    assert (again.new, again.changed, sorted(again.unchanged)) == ((), (), sorted(CELLS))
    assert again.write() == []
    assert state(results) == before


def test_a_record_that_says_the_same_keeps_its_provenance(plan, runs, results):
    prepare(plan, runs, results).write()
    provenance = read_all(runs)[0].records[0].provenance
    change(runs, "knn", 0, provenance=provenance.model_copy(update={"date": "2031-01-01T00:00:00Z"}))
    found = prepare(plan, runs, results)
    assert cell("knn", 0) in found.unchanged
    assert found.write() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "failed", "reason": "it broke", "numbers": {}}, "failed: it broke"),
        ({"key": "of yesterday"}, "outdated: "),
        ({"seed": 7}, "not on the leaderboard"),
        ({"backbone": "huge"}, "not on the leaderboard"),
    ],
)
def test_anything_else_is_refused_by_name(plan, runs, results, changes, reason):
    change(runs, "knn", 1, **changes)
    found = prepare(plan, runs, results)
    ((place, why),) = reasons(found).items()
    assert (place.row, place.seed, place.backbone) == (
        "knn",
        changes.get("seed", 1),
        changes.get("backbone", "tiny"),
    )
    assert why.startswith(reason)
    found.write()
    there = {(f.row, r.seed) for f in read_all(results) for r in f.records}
    assert there == {("msp", 0), ("msp", 1), ("knn", 0)}


def test_an_entry_that_leaderboard_yaml_does_not_have_is_refused(plan, runs, results):
    write_records(
        record_path(runs, "small", "mine"), file("mine", [record(0.7, backbone="tiny")], track="small")
    )
    assert reasons(prepare(plan, runs, results)) == {cell("mine", 0): "not on the leaderboard"}


def test_a_cell_whose_networks_training_is_not_recorded_is_refused(plan, runs, results):
    record_path(runs, "small", "cross_entropy", TRAININGS).unlink()
    found = prepare(plan, runs, results)
    assert set(reasons(found)) == set(CELLS)
    assert all("no record of how its network was trained" in why for why in reasons(found).values())
    assert found.write() == []


def test_the_record_of_a_training_that_failed_is_none(plan, runs, results):
    prepare(plan, runs, results).write()
    before = read_all(results, TRAININGS)
    path = record_path(runs, "small", "cross_entropy", TRAININGS)
    made = read_records(path)
    broke = {"status": "failed", "reason": "out of memory", "series": {}}
    records = [record.model_copy(update=broke) for record in made.records]
    write_records(path, made.model_copy(update={"records": records}))
    found = prepare(plan, runs, results)
    assert all("no record of how its network was trained" in why for why in reasons(found).values())
    found.write()
    assert read_all(results, TRAININGS) == before


def test_what_does_not_apply_brings_no_training_of_another_network(plan, results, tmp_path):
    fill(results, plan, "published", entries=("msp",))
    before = read_all(results, TRAININGS)
    theirs = fill(tmp_path / "theirs", plan, "others", entries=("knn",))
    for seed in (0, 1):
        change(theirs, "knn", seed, status="not_applicable", reason="no linear head", numbers={})
    found = prepare(plan, theirs, results)
    assert found.refused == ()
    found.write()
    assert [file.row for file in read_all(results)] == ["knn", "msp"]
    assert read_all(results, TRAININGS) == before


def test_not_applicable_is_a_finished_record(plan, runs, results):
    change(runs, "knn", 0, status="not_applicable", reason="no linear head", numbers={})
    found = prepare(plan, runs, results)
    assert found.refused == ()
    assert cell("knn", 0) in found.new


def test_only_the_selection_is_published(spec, runs, results):
    part = make_plan(spec, Selection(entries=("knn",), seeds=(1,), full=True))
    assert prepare(part, runs, results).new == (cell("knn", 1),)


def test_what_was_not_run_is_told(plan, runs, results):
    path = record_path(runs, "small", "knn")
    made = read_records(path)
    write_records(path, made.model_copy(update={"records": made.records[:1]}))
    assert prepare(plan, runs, results).missing == {"small knn": 1}


def test_without_records_there_is_nothing_to_publish(plan, tmp_path, results):
    with pytest.raises(UsageError, match="has no records that are selected"):
        prepare(plan, tmp_path / "nothing", results)


def test_the_published_folder_cannot_be_published_from(plan, runs):
    with pytest.raises(UsageError, match="the folder of the published records itself"):
        prepare(plan, runs, runs / ".." / "runs")


def test_a_damaged_published_file_stops_it_before_anything_is_written(plan, runs, results):
    prepare(plan, runs, results).write()
    record_path(results, "small", "knn").write_text("{")
    before = state(results)
    with pytest.raises(DataError, match=r"results/small/knn\.json"):
        prepare(plan, runs, results)
    assert state(results) == before


# Networks


def test_u10_a_row_of_other_networks_is_refused_and_the_others_are_named(plan, runs, results, tmp_path):
    fill(results, plan, "published")
    contributor = fill(tmp_path / "contributor", plan, "own", near=0.9, entries=("knn",))
    before = state(results)
    found = prepare(plan, contributor, results)
    assert set(reasons(found)) == {cell("knn", 0), cell("knn", 1)}
    (why,) = set(reasons(found).values())
    assert "its network is not that of the published rows of the same place" in why
    assert "this call does not replace: small msp;" in why
    assert found.write() == []
    assert state(results) == before


def test_u10_a_new_row_on_the_published_networks_is_published(plan, results, tmp_path):
    fill(results, plan, "published", entries=("msp",))
    contributor = fill(tmp_path / "contributor", plan, "published", entries=("knn",))
    found = prepare(plan, contributor, results)
    assert (found.new, found.refused) == ((cell("knn", 0), cell("knn", 1)), ())


def test_u10_all_rows_of_a_network_may_be_replaced_at_once(plan, runs, results):
    fill(results, plan, "published", near=0.7)
    found = prepare(plan, runs, results)
    assert found.refused == ()
    assert {one.place for one in found.changed} == set(CELLS)
    found.write()
    assert list(iterate(results)) == list(iterate(runs))


def test_u10_one_outdated_row_keeps_all_rows_of_its_network(plan, runs, results):
    """What cannot be replaced stays on the old network, and so do the rows that share it."""
    fill(results, plan, "published", near=0.7)
    change(runs, "knn", 0, key="of yesterday")
    found = prepare(plan, runs, results)
    assert set(reasons(found)) == {cell("knn", 0), cell("msp", 0)}
    assert "outdated" in reasons(found)[cell("knn", 0)]
    assert "not replace: small knn;" in reasons(found)[cell("msp", 0)]
    assert {one.place for one in found.changed} == {cell("knn", 1), cell("msp", 1)}


def test_u10_rows_of_several_networks_are_refused_together(plan, runs, results):
    provenance = read_all(runs)[0].records[0].provenance.model_copy(update={"checkpoint": "f" * 64})
    change(runs, "knn", 0, provenance=provenance)
    found = prepare(plan, runs, results)
    assert set(reasons(found)) == {cell("knn", 0), cell("msp", 0)}
    assert all("stands on several networks" in why for why in reasons(found).values())


PLACES = file("msp", []).environments


def study(folder: Path, network: str) -> None:
    """A published study of the network of seed 0."""
    weights = f"{network} tiny scratch 0".ljust(64, "0")
    made = Record(
        backbone="tiny", init="scratch", seed=0, key="k", training=WAY, numbers={"clean.accuracy": 0.9},
        provenance={"checkpoint": weights, "measured_in": "e1"},
    )  # fmt: skip
    about = {"track": "small", "study": "corruptions", "row": "cross_entropy", "environments": PLACES}
    write_records(
        record_path(folder, "small", "cross_entropy", "corruptions"), RecordFile(**about, records=[made])
    )


def test_u10_studies_of_a_network_count_among_its_rows(plan, runs, results):
    study(results, "published")
    found = prepare(plan, runs, results)
    assert set(reasons(found)) == {cell("knn", 0), cell("msp", 0)}
    assert all("small corruptions cross_entropy" in why for why in reasons(found).values())
    study(results, "own")
    assert prepare(plan, runs, results).refused == ()


def test_a_study_that_is_not_on_the_leaderboard_is_refused(plan, runs, results):
    study(runs, "own")
    found = prepare(plan, runs, results)
    assert [(refused.subject, refused.reason) for refused in found.refused] == [
        ("small corruptions cross_entropy", "not on the leaderboard")
    ]
    found.write()
    assert read_all(results, "corruptions") == []


# Accidents


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_publication_that_is_killed_goes_on(plan, runs, results, monkeypatch, writes):
    """Killed before the n-th file is written: every file is whole, and the same call publishes the rest."""
    fill(results, plan, "published", near=0.7)
    done = []

    def dies(temporary, path):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(path)
        return replace(temporary, path)

    replace = Path.replace  # which gives a file that is written whole its name
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare(plan, runs, results).write()
    assert len(done) == writes
    list(iterate(results))
    again = prepare(plan, runs, results)
    assert again.refused == ()
    again.write()
    assert list(iterate(results)) == list(iterate(runs))


def test_the_plane_is_refused_where_leaderboard_yaml_has_none(plan, runs, results):
    regions = (f"regions.{r}.{n}" for r in ("band", "mid", "far") for n in ("auroc", "confident", "n"))
    numbers = dict.fromkeys(("accuracy", "id_confident", *regions), 1.0)
    arm = Record(backbone="mlp", init="scratch", seed=0, key="k", numbers=numbers)
    about = {"track": "boundary", "study": PLANE, "row": "near", "environments": {}}
    write_records(record_path(runs, "boundary", "near", PLANE), RecordFile(**about, records=[arm]))
    found = prepare(plan, runs, results)
    assert [(one.subject, one.reason) for one in found.refused] == [
        ("boundary plane near", "not on the leaderboard")
    ]
    found.write()
    assert read_all(results, PLANE) == []
