"""An artifact is what its manifest says, and that of its own key: anything else is damage, and made again."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import small_runs

from benchmark.errors import DamagedArtifact, StorageError
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.record import TRAININGS
from benchmark.records.results import read_all
from benchmark.run import run_plan, work
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import MANIFEST, Store
from benchmark.store.progress import PROGRESS

KEY, OTHER = "a" * 32, "b" * 32
DEEP = "[" * 100_000
ELSEWHERE = {"sha256": "0" * 64, "bytes": 1}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


def fill(store, key, value=1):
    with store.create(key, {"kind": "data"}) as draft:
        draft.json("about", {"value": value})


def replace(store, key, by):
    """As an accident with folders does: whole, valid, and of something else."""
    shutil.rmtree(store.folder(key))
    shutil.copytree(store.folder(by), store.folder(key))


def rewritten(store, key, change):
    path = store.folder(key) / MANIFEST
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_r2_a_whole_artifact_of_another_key_is_set_aside(store):
    fill(store, KEY, 1)
    fill(store, OTHER, 2)
    replace(store, KEY, OTHER)
    with pytest.raises(DamagedArtifact, match=f"it is that of the artifact {OTHER}"):
        store.open(KEY)
    assert not store.has(KEY)
    assert store.open(OTHER).json("about") == {"value": 2}
    fill(store, KEY, 1)
    assert store.open(KEY).json("about") == {"value": 1}


def test_r2_what_was_verified_before_is_looked_at_again_once_it_changes(store):
    fill(store, KEY, 1)
    fill(store, OTHER, 2)
    past = 10**18  # so long ago that no later change can bear the same time
    for path in store.folder(KEY).iterdir():
        os.utime(path, ns=(past, past))
    for _ in range(2):
        assert store.open(KEY).json("about") == {"value": 1}
    path = store.folder(KEY) / "about.json"
    path.write_text(path.read_text().replace("1", "3"))
    with pytest.raises(DamagedArtifact, match=r"about\.json does not match its checksum"):
        Store(store.root).open(KEY)


def test_s4_an_artifact_is_hashed_once_a_process_however_many_stores_open_it(store, monkeypatch):
    fill(store, KEY)
    past = 10**18
    for path in store.folder(KEY).iterdir():
        os.utime(path, ns=(past, past))
    hashed = []
    real = sys.modules["benchmark.store.artifacts"].sha256_of
    monkeypatch.setattr("benchmark.store.artifacts.sha256_of", lambda p: (hashed.append(p.name), real(p))[1])
    for _ in range(3):
        Store(store.root).open(KEY)
    assert hashed == ["about.json"]


def instead(name, make):
    """Puts something else in the place of a file."""

    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


def said(change):
    """Has the manifest say something else."""
    return lambda folder: _change(folder, change)


FORMS = {
    "nested deeply": lambda folder: (folder / MANIFEST).write_text(DEEP),
    "a number of a million digits": lambda folder: (folder / MANIFEST).write_text("1" * 10**6),
    "no key": said(lambda m: m.pop("key")),
    "a key that is no text": said(lambda m: m.update(key=[KEY])),
    "a checksum that is no text": said(lambda m: m["files"].update(x={"sha256": 1})),
    "a file that is not there": said(lambda m: m["files"].update(x=ELSEWHERE)),
    "a file that it does not list": said(lambda m: m["files"].clear()),
    "a folder": instead(MANIFEST, Path.mkdir),
    "a pipe": instead(MANIFEST, os.mkfifo),
    "a pipe among its files": instead("about.json", os.mkfifo),
    "a link to nowhere": instead(MANIFEST, lambda path: path.symlink_to("gone")),
}


def _change(folder, change):
    found = json.loads((folder / MANIFEST).read_text())
    change(found)
    (folder / MANIFEST).write_text(json.dumps(found))


@pytest.mark.parametrize("damage", FORMS.values(), ids=FORMS)
def test_r3_a_manifest_of_the_wrong_form_is_damage(store, damage):
    fill(store, KEY)
    damage(store.folder(KEY))
    with pytest.raises(DamagedArtifact):
        store.open(KEY)
    assert not store.has(KEY)
    fill(store, KEY)
    assert store.open(KEY).json("about") == {"value": 1}


def test_r3_a_file_that_the_manifest_does_not_list_is_not_read(store):
    fill(store, KEY)
    artifact = store.open(KEY)
    for read in (artifact.json, artifact.tensors, artifact.sha256):
        with pytest.raises(DamagedArtifact, match=r"manifest\.json lists no other"):
            read("other")
        assert not store.has(KEY)


@pytest.mark.parametrize("text", [DEEP, "[]", '{"elapsed": "long"}', '{"elapsed": NaN}', '{"elapsed": -1}'])
def test_r3_what_a_killed_job_said_of_itself_may_be_anything(store, text):
    folder = store.root / "partial" / KEY
    folder.mkdir()
    (folder / PROGRESS).write_text(text)
    assert isinstance(store.progress(KEY), dict)
    with store.create(KEY, {}) as draft:
        assert draft.earlier == 0.0
        draft.json("about", 1)


# Whole runs.


class Place:
    """A finished run of the small leaderboard, and runs that follow it."""

    def __init__(self, leaderboard, folder):
        self.plan = make_plan(load_spec(leaderboard), Selection())
        self.cache, self.results = folder / "cache", folder / "results"

    def run(self):
        return run_plan(
            self.plan, cache=self.cache, results=self.results, workers=1, on_event=lambda *_: None
        )

    def measured(self):
        return {str(place): small_runs.said(r) for place, r in small_runs.cells(self.run()).items()}

    def keys(self, kind):
        return [key for key, job in self.plan.jobs.items() if job.kind == kind]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def place(finished, small, tmp_path):
    if not list(finished.iterdir()):
        Place(small, finished).run()
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Place(small, tmp_path)


@pytest.mark.parametrize("kind", [Kind.EXTRACT, Kind.SCORE, Kind.MEASURE, Kind.CLASSIFY, Kind.TRAIN])
def test_r2_a_run_does_not_take_one_artifact_for_another_of_its_kind(place, kind):
    expected = place.measured()
    store, (one, another, *_) = Store(place.cache), place.keys(kind)
    replace(store, one, another)
    for later in (Kind.MEASURE, Kind.SCORE, Kind.CLASSIFY):
        for key in place.keys(later):
            if key != one and kind != Kind.TRAIN:
                shutil.rmtree(store.folder(key))
    shutil.rmtree(place.results)
    assert place.measured() == expected
    assert store.open(one).manifest["key"] == one


def test_r3_a_run_does_not_take_one_artifact_for_another_of_another_kind(place):
    expected = place.measured()
    store = Store(place.cache)
    for kind, by in ((Kind.MEASURE, Kind.TRAIN), (Kind.TRAIN, Kind.DATA), (Kind.DATA, Kind.SCORE)):
        replace(store, place.keys(kind)[0], place.keys(by)[0])
    assert place.measured() == expected


@pytest.mark.parametrize(
    "made",
    [{}, {"kind": "data"}, {"kind": 3}, {"seconds": "long"}, {"seconds": float("inf")}, {"environment": {}}],
    ids=str,
)
@pytest.mark.parametrize("kind", [Kind.MEASURE, Kind.TRAIN])
def test_r3_a_run_makes_again_what_does_not_say_how_it_was_made(place, kind, made):
    """An empty one says nothing; the others say one thing wrongly."""
    key = place.keys(kind)[0]

    def change(manifest):
        manifest["made"] = {**manifest["made"], **made} if made else {}

    rewritten(Store(place.cache), key, change)
    summary = place.run()
    assert len(small_runs.cells(summary)) == 4
    assert {record.status for record in summary.records.values()} == {"measured"}
    assert Store(place.cache).manifest(key)["made"]["kind"] == kind
    assert [path.name.partition("-")[0] for path in place.cache.glob("damaged/*")] == [key]


def trainings(place):
    found = {}
    for file in read_all(place.results, TRAININGS):
        for record in file.records:
            found[file.row, *record.cell] = record.model_dump(exclude={"cost", "provenance"})
    return found


@pytest.mark.parametrize("file", ["model.safetensors", "history.json", "about.json", MANIFEST])
@pytest.mark.parametrize("lost", ["no record", "the records"])
def test_r4_a_damaged_network_trained_again_gives_the_same_trainings(place, file, lost):
    """Equal but for what it took, in the very run that finds the damage."""
    expected = trainings(place)
    assert len(expected) == 2
    key = place.keys(Kind.TRAIN)[0]
    path = Store(place.cache).folder(key) / file
    path.write_bytes(path.read_bytes()[:-1])
    if lost == "the records":
        shutil.rmtree(place.results)
    place.run()
    assert trainings(place) == expected
    assert Store(place.cache).open(key).json("history")


# Folders that may not be looked into. Root may look into all, so another user does.

UNREADABLE = """
import os, sys
from pathlib import Path
from benchmark.store.artifacts import Store
from benchmark.errors import StorageError
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
root, key = Path(sys.argv[1]), sys.argv[2]
try:
    os.scandir(root / "objects" / key[:2] / key)
except PermissionError:
    pass
else:
    sys.exit(77)
for use in ("has", "open", "manifest", "set_aside"):
    try:
        getattr(Store(root), use)(key)
    except StorageError as error:
        print(type(error).__name__, error)
try:
    Store(root).usage()
except StorageError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def of_another_user():
    """A cache that is of a user who may not look into everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        store = Store(Path(folder) / "cache")
        store.prepare()
        fill(store, KEY)
        if os.getuid() == 0:
            for path in (store.root, *store.root.rglob("*")):
                os.chown(path, 65534, 65534)
        yield store
        store.folder(KEY).chmod(0o755)


def test_r5_a_folder_that_may_not_be_looked_into_is_named(of_another_user):
    store = of_another_user
    folder = store.folder(KEY)
    folder.chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(store.root), KEY],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("every user may look into every folder here")
    if "Permission denied" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"another user may not run Python here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 5
    assert all(line.startswith(f"StorageError {folder}: Permission denied; choose") for line in said)


@pytest.fixture
def refused(monkeypatch):
    """The operating system refuses to look into a folder, whoever asks."""

    def refuse(folder):
        real = os.stat

        def looked_into(path, *arguments, **options):
            if not isinstance(path, int) and Path(path).parent == folder:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", looked_into)

    return refuse


@pytest.mark.parametrize("kind", [Kind.DATA, Kind.EXTRACT, Kind.MEASURE])
def test_r5_plan_and_run_name_the_folder(place, refused, kind):
    folder = Store(place.cache).folder(place.keys(kind)[0])
    refused(folder)
    for use in (lambda: work(place.plan, place.cache), place.run):
        with pytest.raises(StorageError, match="Permission denied; choose a folder") as caught:
            use()
        assert str(caught.value).startswith(str(folder))
