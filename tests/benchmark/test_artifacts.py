"""The cache: whole or not at all, checked when read, shared by processes, honest about a full disk."""

import ast
import errno
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from waiting import kill

import benchmark
import methods
import reports
from benchmark.errors import DamagedArtifact, StorageError
from benchmark.store.artifacts import MANIFEST, SIGNATURE, Store, default_cache

KEY, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
MADE = {"kind": "data", "label": "a test"}
TENSORS = {"x": torch.arange(6).reshape(2, 3), "y": torch.tensor([0.5, -1.0])}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


def fill(store, key=KEY, value=1):
    with store.create(key, MADE) as draft:
        draft.json("about", {"value": value})
        draft.tensors("numbers", TENSORS)


def fill_and_fail(store, error):
    with store.create(KEY, MADE) as draft:
        draft.json("about", {"value": 2})
        draft.tensors("numbers", TENSORS)
        raise error


def is_empty(store):
    """Nothing is stored, nothing half-made lies about."""
    return not [*store.root.glob("objects/*/*"), *store.root.glob("tmp/*")]


def run(code, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **options)


def test_what_is_written_can_be_read_in_another_process(store):
    fill(store)
    artifact = Store(store.root).open(KEY)
    assert artifact.json("about") == {"value": 1}
    read = artifact.tensors("numbers")
    assert read.keys() == TENSORS.keys()
    assert all(
        torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype
        for name, tensor in TENSORS.items()
    )
    assert artifact.manifest["made"] == MADE
    assert artifact.manifest["key"] == KEY
    assert len(artifact.sha256("about.json")) == 64


def test_what_is_made_known_while_the_block_runs_goes_into_the_manifest(store):
    made = {"kind": "data"}
    with store.create(KEY, made) as draft:
        draft.json("about", 1)
        made["seconds"] = 2.5
    assert store.manifest(KEY)["made"] == {"kind": "data", "seconds": 2.5}


def test_tensors_that_are_views_are_stored(store):
    with store.create(KEY, MADE) as draft:
        draft.tensors("numbers", {"transposed": TENSORS["x"].T})
    assert store.open(KEY).tensors("numbers")["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_other_users_of_a_machine_may_read_the_artifacts(store):
    fill(store)
    folder = store.folder(KEY)
    assert folder.stat().st_mode & 0o555 == 0o555
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())


def test_the_cache_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.setenv("OODBENCH_CACHE", "")
    assert default_cache().name == "oodbench"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_nothing(store, error):
    with pytest.raises(error):
        fill_and_fail(store, error)
    assert is_empty(store)
    assert not store.has(KEY)


def test_not_a_number_is_no_json(store):
    with pytest.raises(ValueError, match="JSON"), store.create(KEY, MADE) as draft:
        draft.json("about", float("nan"))
    assert is_empty(store)


DYING = """
import os, sys
from pathlib import Path
from benchmark.store.artifacts import Store
left = int(sys.argv[2])
def dies(call):
    def wrapped(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*arguments, **options)
    return wrapped
os.fsync = dies(os.fsync)
Path.rename, Path.chmod, Path.mkdir = dies(Path.rename), dies(Path.chmod), dies(Path.mkdir)
store = Store(Path(sys.argv[1]))
with store.create({key!r}, dict()) as draft:
    draft.json("a", [1])
    draft.json("b", [2])
"""


def test_a_process_that_dies_at_any_step_leaves_the_artifact_whole_or_absent(store):
    """The steps are the calls that reach the disk; the last run dies nowhere."""
    states = []
    for step in range(20):
        process = run(DYING.replace("{key!r}", repr(KEY)), store.root, step)
        if process.wait() == 0:
            break
        assert process.returncode == 9
        states.append(store.has(KEY))
        if store.has(KEY):
            assert Store(store.root).open(KEY).json("b") == [2]
            store.set_aside(KEY)
    else:
        pytest.fail("it should have run through")
    assert Store(store.root).open(KEY).json("b") == [2]
    assert states.count(False) >= 5
    assert states == sorted(states)  # once there, it is there


def flip_a_byte(folder):
    path = folder / "numbers.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate(folder):
    path = folder / "numbers.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def empty_a_file(folder):
    (folder / "about.json").write_bytes(b"")


def remove_a_file(folder):
    (folder / "about.json").unlink()


def put_a_folder_there(folder):
    remove_a_file(folder)
    (folder / "about.json").mkdir()


def manifest(text):
    def damage(folder):
        (folder / MANIFEST).write_bytes(text.encode() if isinstance(text, str) else text)

    return damage


def cut_the_manifest(folder):
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-20])


def remove_the_manifest(folder):
    (folder / MANIFEST).unlink()


DAMAGE = {
    "a byte differs": flip_a_byte,
    "a file is cut": truncate,
    "a file is empty": empty_a_file,
    "a file is missing": remove_a_file,
    "a folder is in the place of a file": put_a_folder_there,
    "the manifest is cut": cut_the_manifest,
    "the manifest is missing": remove_the_manifest,
    "the manifest is empty": manifest(""),
    "the manifest is not text": manifest(b"\xff\xfe\x00"),
    "the manifest is no object": manifest("[]"),
    "the manifest is null": manifest("null"),
    "the manifest says nothing": manifest("{}"),
    "the manifest lists no files": manifest('{"files": [], "made": {}}'),
    "the manifest has a file without checksum": manifest('{"files": {"about.json": {}}, "made": {}}'),
    "the manifest has no object for a file": manifest('{"files": {"about.json": 3}, "made": {}}'),
    "the manifest does not say what was made": manifest('{"files": {}, "made": null}'),
    "the manifest names a file elsewhere": manifest(
        '{"files": {"../../../../x": {"sha256": "0"}}, "made": {}}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_artifact_is_set_aside_and_can_be_made_again(store, damage):
    fill(store)
    fill(store, OTHER)
    damage(store.folder(KEY))
    reader = Store(store.root)
    with pytest.raises(DamagedArtifact, match=KEY) as caught:
        reader.open(KEY)
    assert caught.value.key == KEY
    assert not reader.has(KEY)
    assert [path.name.partition("-")[0] for path in store.root.glob("damaged/*")] == [KEY]
    assert reader.open(OTHER).json("about") == {"value": 1}
    fill(reader)
    assert Store(store.root).open(KEY).json("about") == {"value": 1}


def test_an_artifact_that_never_was_is_reported_as_damaged(store):
    with pytest.raises(DamagedArtifact, match="FileNotFoundError"):
        store.open(KEY)
    assert not list(store.root.glob("damaged/*"))


def test_two_processes_may_find_the_same_damage_at_once(store, monkeypatch):
    fill(store)
    flip_a_byte(store.folder(KEY))
    rename = Path.rename

    def the_other_is_faster(self, target):
        rename(self, f"{target}-other")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", the_other_is_faster)
    with pytest.raises(DamagedArtifact):
        Store(store.root).open(KEY)


def test_a_fresh_artifact_takes_the_place_of_the_old_one(store):
    fill(store, value=1)
    fill(store, value=2)
    assert Store(store.root).open(KEY).json("about") == {"value": 2}
    assert store.usage()[0] == 1
    assert not list(store.root.glob("tmp/*"))


def test_a_fresh_artifact_that_fails_leaves_the_old_one(store):
    fill(store, value=1)
    with pytest.raises(RuntimeError):
        fill_and_fail(store, RuntimeError)
    assert Store(store.root).open(KEY).json("about") == {"value": 1}


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(*_, **__):
    raise FULL


@pytest.mark.parametrize(
    ("owner", "call"),
    [(os, "fsync"), (Path, "write_text"), (Path, "rename"), (Path, "chmod")],
    ids=["fsync", "write", "rename", "chmod"],
)
def test_a_full_disk_is_reported_and_leaves_nothing(store, monkeypatch, owner, call):
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, refuse)
        with pytest.raises(StorageError, match=r"No space left on device; free some space") as caught:
            fill(store)
    assert str(store.root) in str(caught.value)
    assert not isinstance(caught.value, DamagedArtifact)
    assert is_empty(store)
    fill(store)
    assert store.has(KEY)


def test_a_full_disk_is_reported_when_the_block_begins(store, monkeypatch):
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(StorageError, match="No space left"), store.create(KEY, MADE):
        pytest.fail("the block should not run")


def test_what_safetensors_says_of_a_full_disk_is_a_storage_error(store, monkeypatch):
    def save_file(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", save_file)
    with pytest.raises(StorageError, match="No space left"):
        fill(store)
    assert is_empty(store)


@pytest.mark.parametrize("what", ["json", "tensors"])
def test_a_disk_that_really_fills_up(small_disk, what):
    store = Store(small_disk("size=512k") / "cache")
    store.prepare()
    fill(store)
    with pytest.raises(StorageError, match="No space left"), store.create(OTHER, MADE) as draft:
        getattr(draft, what)("large", {"x": "0" * 2**20} if what == "json" else {"x": torch.zeros(2**18)})
    assert not list(store.root.glob("tmp/*"))
    assert not store.has(OTHER)
    assert Store(store.root).open(KEY).json("about") == {"value": 1}
    fill(store, OTHER)
    assert Store(store.root).open(OTHER).json("about") == {"value": 1}


def test_a_disk_that_is_really_read_only(small_disk):
    folder = small_disk("size=512k")
    store = Store(folder)
    store.prepare()
    fill(store)
    small_disk("ro")
    reader = Store(folder)
    assert reader.open(KEY).json("about") == {"value": 1}
    for refused in (
        store.prepare,
        lambda: fill(store, OTHER),
        lambda: store.lock(OTHER).__enter__(),
        store.clear,
    ):
        with pytest.raises(StorageError, match="Read-only file system"):
            refused()


def test_a_cache_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file" / "cache")
    assert not store.has(KEY)
    for refused in (store.prepare, lambda: fill(store), lambda: store.lock(KEY).__enter__()):
        with pytest.raises(StorageError, match="Not a directory"):
            refused()


COMPUTING = """
import sys, time
from pathlib import Path
from benchmark.store.artifacts import Store
root = Path(sys.argv[1])
store = Store(root)
print("ready", flush=True)
sys.stdin.readline()
with store.lock({key!r}):
    if not store.has({key!r}):
        with (root / "computed").open("a") as log:
            log.write("once\\n")
        with store.create({key!r}, dict()) as draft:
            time.sleep(0.3)
            draft.json("about", 1)
assert store.open({key!r}).json("about") == 1
"""


def test_of_several_processes_one_computes(store):
    code = COMPUTING.replace("{key!r}", repr(KEY))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [run(code, store.root, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n")
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert (store.root / "computed").read_text() == "once\n"


def test_the_lock_of_a_killed_process_is_free(store):
    code = "import sys; from pathlib import Path; from benchmark.store.artifacts import Store\n"
    code += f"with Store(Path(sys.argv[1])).lock({KEY!r}): print('held', flush=True); sys.stdin.readline()"
    process = run(code, store.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "held\n"
    kill(process.pid)
    process.communicate()
    start = time.monotonic()
    with store.lock(KEY):
        assert time.monotonic() - start < 10


def test_a_lock_is_released_when_the_block_fails(store):
    for _ in range(2):
        with pytest.raises(RuntimeError), store.lock(KEY):
            raise RuntimeError


def test_what_killed_runs_left_half_made_is_cleared_away(store):
    folder, file, vanishing = (store.root / "tmp" / name for name in (f"{KEY}-1", "file", f"{KEY}-2"))
    folder.mkdir()
    (folder / "part").touch()
    file.touch()
    vanishing.symlink_to(store.root / "gone")  # as if another run had removed it just now
    store.prepare()
    assert not list(store.root.glob("tmp/*"))


def test_what_is_half_made_is_no_artifact(store):
    with store.create(KEY, MADE) as draft:
        draft.json("about", 1)
        assert not store.has(KEY)
        assert store.usage()[0] == 0
    assert store.usage()[0] == 1


def test_usage_counts_and_clear_deletes(store):
    fill(store)
    fill(store, OTHER)
    artifacts, size = store.usage()
    assert artifacts == 2
    assert size == sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    store.clear()
    assert store.usage() == (0, len(SIGNATURE))
    store.prepare()
    fill(store)
    assert store.usage()[0] == 1


def test_a_folder_of_something_else_is_neither_used_nor_cleared(tmp_path):
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "mine").write_text("mine")
    store = Store(tmp_path)
    for refused in (store.prepare, store.clear):
        with pytest.raises(StorageError, match="cache of oodbench"):
            refused()
    assert (tmp_path / "objects" / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\\b", "x\0y", "a\n"]
)
def test_names_never_leave_the_cache(store, name):
    uses = [store.folder, store.has, store.open, store.set_aside, lambda key: store.lock(key).__enter__()]
    with store.create(KEY, MADE) as draft:
        draft.json("about", 1)
        uses += [lambda n: draft.json(n, 1), lambda n: draft.tensors(n, TENSORS)]
        for use in uses:
            with pytest.raises(ValueError, match="cannot name a file of the cache"):
                use(name)
    artifact = store.open(KEY)
    for use in (artifact.json, artifact.tensors):
        with pytest.raises(ValueError, match="cannot name a file of the cache"):
            use(name)


def test_a_pickle_is_never_loaded(store):
    """What stands in the place of tensors is not read as anything else, whatever its checksum."""

    class Bomb:
        def __reduce__(self):
            return (os._exit, (3,))

    with store.create(KEY, MADE) as draft:
        (draft.folder / "numbers.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SafetensorError):
        store.open(KEY).tensors("numbers")


def test_no_room_unpickles_anything():
    loaders = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    roots = [Path(package.__file__).parent for package in (benchmark, methods, reports)]
    sources = [path for root in roots for path in root.rglob("*.py")]
    assert len(sources) > 40
    for path in sources:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.partition(".")[0] for alias in node.names}
                names |= {getattr(node, "module", None) or ""}
                assert not names & loaders, path
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "load"
            ):
                told = {ast.unparse(keyword) for keyword in node.keywords}
                safe = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "numpy.load": ""}
                assert safe.get(ast.unparse(node.func)) in {None, *told}, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path
