"""What a change of the records does to boards and claims, and how it is told."""

import re
from pathlib import Path

import pytest
import synthetic_records as synthetic
from places import ROOT
from tagged_results import AFTER, BEFORE, Repository, needs_git, snapshot, spec
from two_sides import file, record

import reports.diff.sides
from benchmark.errors import DataError, UsageError
from benchmark.records.record import Cost
from reports.claims.register import load_register
from reports.diff import compare as models
from reports.diff.compare import BoardChange, Diff, NumberChange, RowChange, compare
from reports.diff.page import LIMIT, markdown_of_diff
from reports.diff.revisions import checked_out, revision
from reports.diff.sides import Unreadable, read_revision, read_side
from reports.diff.snapshot import Decided, Line, Measure, Ranking, Snapshot, Standing, take_snapshot

NAMES = ("main", "results")


@pytest.fixture(scope="module")
def diff() -> Diff:
    return compare(snapshot(BEFORE), snapshot(AFTER), NAMES)


def names(rows):
    return [row.row[0] for row in rows]


def test_rows_stand_by_what_happened_to_them(diff):
    (board,) = diff.boards
    assert (names(board.added), names(board.removed)) == (["gen"], ["energy"])
    assert (names(board.changed), names(board.moved)) == (["msp"], ["knn"])
    assert (board.rows_before, board.rows_after, board.equal) == (3, 3, 0)
    assert (board.first_before, board.first_after) == ((("knn", "scratch"),), (("msp", "scratch"),))


def test_a_changed_row_has_both_sides(diff):
    """By hand: seeds 0, 1 and 2 of msp have .80, .81, .82 before and .95, .96, .97 after."""
    (row,) = diff.boards[0].changed
    assert (row.ranked.before, row.ranked.after, row.ranked.difference) == (81.0, 96.0, 15.0)
    assert (row.place_before.position, row.place_after.position) == (2, 1)
    assert row.place_after.low <= 1 <= row.place_after.high
    assert row.seeds_before == row.seeds_after == (0, 1, 2)
    (other,) = row.others  # far AUROC and NLL are as before
    assert other.metric == "near.fpr95"
    assert other.difference == pytest.approx(other.after - other.before)
    assert other.difference < 0


def test_a_row_of_one_side_has_that_side_alone(diff):
    (added,), (removed,) = diff.boards[0].added, diff.boards[0].removed
    assert (added.ranked.before, added.ranked.after, added.ranked.difference) == (None, 86.0, None)
    assert (removed.ranked.before, removed.ranked.after) == (71.0, None)
    assert (added.place_before, removed.place_after, added.seeds_before) == (None, None, ())


def test_records_are_counted_by_what_changed_in_them(diff):
    found = diff.records
    assert (found.before, found.after, found.added, found.removed) == (9, 9, 3, 3)
    assert (found.numbers, found.made) == (3, 0)


def test_provenance_alone_moves_nothing():
    cheap, dear = ({"cost": Cost(train_seconds=seconds)} for seconds in (1.0, 2.0))
    found = compare(snapshot(BEFORE, **cheap), snapshot(BEFORE, **dear), NAMES)
    assert found.nothing
    assert (found.records.numbers, found.records.made, found.boards_equal) == (0, 9, 1)
    assert "9 changed in keys, settings, cost or provenance alone" in markdown_of_diff(found)


def on_backbones(names, near, seen):
    """A snapshot of entries on some backbones; `seen` is added to what each has in its last one."""
    spec = synthetic.make_spec(["msp", "knn"], inits=["scratch"], backbones=names)
    files = [
        file(
            entry,
            [
                record(base + s / 100 + seen * (name == names[-1]), seed=s, backbone=name)
                for name in names
                for s in (0, 1, 2)
            ],
        )
        for entry, base in near.items()
    ]
    return take_snapshot(spec, files, load_register())


def test_boards_that_no_leaderboard_declares_are_compared_too():
    """A declared board has the means over both backbones; those of each stand on the pages of the track."""
    near = {"msp": 0.6, "knn": 0.7}
    sides = [on_backbones(["tiny_cnn", "tiny_vit"], near, seen) for seen in (0.0, 0.1)]
    assert [one.board for one in sides[0].rankings] == [
        "detection", "boards/toy~tiny_cnn", "boards/toy~tiny_vit",
    ]  # fmt: skip
    found = compare(*sides, NAMES)
    assert [board.board for board in found.boards] == ["detection", "boards/toy~tiny_vit"]
    (row, _) = found.boards[1].changed
    assert row.ranked.difference == 10.0
    assert {one.percent for one in row.others} == {True}
    assert "## All entries of toy on tiny_vit" in markdown_of_diff(found)


def test_another_backbone_is_named_as_the_reason():
    near = {"msp": 0.6, "knn": 0.7}
    sides = [on_backbones([name], near, seen) for name, seen in (("tiny_cnn", 0), ("tiny_vit", 0.1))]
    found = compare(*sides, NAMES)
    (board,) = found.boards
    assert (board.backbones_before, board.backbones_after) == (("tiny_cnn",), ("tiny_vit",))
    text = markdown_of_diff(found)
    assert text.count("Other backbones: tiny_cnn → tiny_vit") == 2  # in the table, and at the board
    assert "Other backbones" not in markdown_of_diff(compare(sides[0], sides[0], NAMES))


def test_what_is_shown_decides_whether_a_number_changed():
    """A mean of 81 that becomes 81.00001 is shown as before."""
    found = compare(snapshot(BEFORE), snapshot({**BEFORE, "msp": 0.8000001}), NAMES)
    assert found.records.numbers == 3
    assert found.nothing


def test_equal_snapshots_give_equal_text():
    texts = [markdown_of_diff(compare(snapshot(BEFORE), snapshot(AFTER), NAMES)) for _ in range(2)]
    assert texts[0] == texts[1]
    same = compare(snapshot(BEFORE), snapshot(BEFORE), NAMES)
    assert same.nothing
    assert "No board and no verdict of a claim shows anything else than before." in markdown_of_diff(same)


def test_a_snapshot_reads_back_as_it_was_written():
    made = snapshot(BEFORE)
    assert Snapshot.model_validate_json(made.model_dump_json()) == made


# Boards that a test writes down


def ranking(name="b", title="Board", near=(("msp", 0.8),), columns=("near", "far")) -> Ranking:
    lines = [
        Line(
            labels=(entry,),
            seeds=(0, 1),
            means=(mean, 0.5)[: len(columns)],
            standing=Standing(i + 1, 1, len(near), i == 0),
        )
        for i, (entry, mean) in enumerate(near)
    ]
    measures = tuple(Measure(metric=column, title=column, percent=True) for column in columns)
    return Ranking(board=name, tuned=False, title=title, columns=measures, ranked_by="near", lines=lines)


def shown(*rankings: Ranking, claims=()) -> Snapshot:
    return Snapshot(rankings=rankings, claims=claims)


def test_boards_that_come_and_go():
    found = compare(shown(ranking("old")), shown(ranking("new")), NAMES)
    assert [(board.board, board.rows_before, board.rows_after) for board in found.boards] == [
        ("new", 0, 1),
        ("old", 1, 0),
    ]
    text = markdown_of_diff(found)
    assert "Had no rows before; now 1." in text
    assert "Has no rows any more; before 1." in text
    assert found.records is None


def test_columns_that_come_and_go_are_named():
    one, two = ranking(), ranking(columns=("near",))
    assert "Gone column: far." in markdown_of_diff(compare(shown(one), shown(two), NAMES))
    assert "New column: far." in markdown_of_diff(compare(shown(two), shown(one), NAMES))


def test_the_largest_change_stands_first_and_a_lost_number_before_it():
    before = ranking(near=[("a", 0.9), ("b", 0.8), ("c", 0.7)])
    after = ranking(near=[("a", 0.91), ("b", 0.6), ("c", None)])
    (board,) = compare(shown(before), shown(after), NAMES).boards
    assert names(board.changed) == ["c", "b", "a"]


def decided(claim, overall, **readings) -> Decided:
    return Decided(claim=claim, statement=f"Statement of {claim}.", overall=overall, readings=readings)


def test_verdicts_that_flip_and_tests_that_read_otherwise():
    before = [decided("C-A1", "supported", x="supported", y="undecided"), decided("C-A2", "undecided")]
    after = [
        decided("C-A1", "undecided", x="refuted", y="undecided"),
        decided("C-A2", "undecided"),
        decided("C-A3", "supported", z="supported"),
    ]
    found = compare(shown(claims=before), shown(claims=after), NAMES)
    assert [(one.claim, one.before, one.after) for one in found.claims] == [
        ("C-A1", "supported", "undecided"),
        ("C-A3", "not run", "supported"),
    ]
    assert [(one.test, one.before, one.after) for one in found.readings] == [
        ("x", "supported", "refuted"),
        ("z", "not run", "supported"),
    ]
    text = markdown_of_diff(found)
    assert "2 verdicts flipped" in text
    assert "| C-A1 | Statement of C-A1. | supported | undecided |" in text


# Markdown within GitHub's limit


def board_of(changed: int, added: int, name="b") -> BoardChange:
    def row(i, before):
        number = NumberChange(
            metric="m", title="Near AUROC", percent=True, before=before, after=50.0, difference=None
        )
        place = Standing(i + 1, 1, 999, False)
        return RowChange(
            row=(f"entry_{i}", "scratch"),
            ranked=number,
            others=(),
            place_before=place,
            place_after=place,
            seeds_before=(0, 1),
            seeds_after=(0, 1),
        )

    return BoardChange(
        board=name,
        tuned=False,
        title=f"Board {name}",
        ranked_by="Near AUROC",
        rows_before=changed,
        rows_after=changed + added,
        first_before=(),
        first_after=(),
        columns_added=(),
        columns_removed=(),
        added=tuple(row(i, None) for i in range(added)),
        removed=(),
        changed=tuple(row(i, 40.0) for i in range(changed)),
        moved=(),
    )


def diff_of(*boards: BoardChange) -> Diff:
    return Diff(before="a", after="b", records=None, boards_equal=0, boards=boards, claims=(), readings=())


def test_the_longest_table_is_cut_with_a_count():
    text = markdown_of_diff(diff_of(board_of(2000, 20)))
    assert LIMIT - 200 < len(text) <= LIMIT
    kept = len(re.findall(r"^\| entry", text.split("**Added: 20**")[0], re.MULTILINE))
    assert f"… and {2000 - kept} more rows" in text
    assert len(re.findall(r"^\| entry", text.split("**Added: 20**")[1], re.MULTILINE)) == 20


def test_what_fits_is_whole():
    assert "more row" not in markdown_of_diff(diff_of(board_of(30, 20)))


@pytest.mark.parametrize("limit", [100, 500, 3000])
def test_any_number_of_boards_fits(limit):
    text = markdown_of_diff(diff_of(*(board_of(3, 3, f"b{i}") for i in range(40))), limit)
    assert len(text) <= limit
    assert text.endswith("The rest was cut: a comment takes no more. `--json` gives all.\n")


def test_names_of_records_are_no_markup():
    bad = ranking(title="<b>|`x`", near=[("<img src=x>|**a**", 0.8)])
    text = markdown_of_diff(compare(shown(), shown(bad), ("<i>", "b")))
    assert "<" not in text
    assert r"&lt;img src=x&gt;\|\*\*a\*\*" in text


def test_every_key_of_the_json_is_documented():
    text = (ROOT / "docs" / "diff.md").read_text(encoding="utf-8")
    parts = ("Diff", "Records", "BoardChange", "RowChange", "NumberChange", "ClaimChange", "ReadingChange")
    fields = {field for name in parts for field in getattr(models, name).model_fields}
    assert {field for field in fields if f"`{field}`" not in text} == set()


# Revisions of git


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    made = Repository(tmp_path / "work")
    made.publish(BEFORE)
    return made


@needs_git
def test_a_revision_shows_what_its_folder_shows(repository, monkeypatch):
    monkeypatch.chdir(repository.folder)
    assert read_side("main") == read_side("results")
    assert read_side("HEAD", repository=repository.folder).rankings == snapshot(BEFORE).rankings


@needs_git
def test_a_revision_is_read_once_and_the_same_without_the_cache(repository, monkeypatch):
    one = revision("main", repository.folder)
    first = read_revision(one, repository.folder)
    taken = []
    real = reports.diff.sides.take_snapshot
    monkeypatch.setattr(reports.diff.sides, "take_snapshot", lambda *a: taken.append(1) or real(*a))
    assert read_revision(one, repository.folder) == first
    assert not taken
    (kept,) = (repository.folder.parent / "cache" / "objects").rglob("snapshot.json")
    kept.write_text("{}")  # damaged
    assert read_revision(one, repository.folder) == first
    monkeypatch.setenv("OODBENCH_CACHE", "/proc/nothing")  # cannot be written
    assert read_revision(one, repository.folder) == first
    assert len(taken) == 2


@needs_git
def test_both_sides_can_be_read_by_one_leaderboard(repository, tmp_path):
    other = tmp_path / "other.yaml"
    text = (repository.folder / "leaderboard.yaml").read_text()
    other.write_text(text.replace('"OOD detection"', '"Another title"'))
    (found,) = read_side("main", other, repository.folder).rankings
    assert found.title == "Another title"
    (own,) = read_side("main", repository=repository.folder).rankings
    assert own.title == "OOD detection"


@needs_git
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("results/toy/msp.json", '{"schema_version": 2}', "results/toy/msp.json: schema_version: got 2"),
        ("leaderboard.yaml", "version: 9", "leaderboard.yaml:1: version: "),
    ],
)
def test_what_this_version_cannot_read_is_said(repository, file, content, message):
    (repository.folder / file).write_text(content)
    repository.commit()
    with pytest.raises(Unreadable, match=f"^HEAD: cannot be read by this version: {re.escape(message)}"):
        read_side("HEAD", repository=repository.folder)


@needs_git
def test_only_files_come_out_of_git(repository):
    (repository.results / "toy" / "link.json").symlink_to("/etc/hostname")
    repository.commit()
    with (
        pytest.raises(DataError, match=r"HEAD: results/toy/link.json: neither a file nor a folder"),
        checked_out(revision("HEAD", repository.folder), repository.folder),
    ):
        pass


@needs_git
def test_a_revision_without_records_is_refused(repository):
    repository.git("rm", "-r", "--quiet", "results")
    repository.git("commit", "--quiet", "-m", "gone")
    with pytest.raises(UsageError, match=r"HEAD: has no results where this folder is"):
        revision("HEAD", repository.folder)


def test_the_spec_of_these_tests_has_one_board():
    assert [*spec().boards] == ["detection"]
    assert Path(ROOT, "docs", "diff.md").is_file()
