"""The cache: content-addressed folders of safetensors and JSON, written atomically, checked when read.

::

    <cache>/objects/<key[:2]>/<key>/    the files of one artifact, and manifest.json with their SHA-256
    <cache>/locks/<key>.lock            held by whoever is computing the artifact
    <cache>/damaged/<key>-<when>/       what did not match its manifest, set aside
    <cache>/tmp/<key>-<random>/         artifacts in the making
    <cache>/partial/<key>/              what a long job keeps for its own next attempt, and progress.json

An artifact appears under its key whole or not at all; whoever makes it holds the lock of its key meanwhile.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import platformdirs
from filelock import FileLock, Timeout

from benchmark.errors import DamagedArtifact, StorageError
from benchmark.store.files import delete, flush, read_json, require_writable, sha256_of, storage_errors
from benchmark.store.progress import PROGRESS, elapsed_in, progress_in
from benchmark.store.tensors import TensorWriter

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
TAG = "CACHEDIR.TAG"  # marks the folder as ours, and as one that backups may skip (bford.info/cachedir)
SIGNATURE = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# The cache of oodbench; `oodbench cache --clear`.\n"
)
FORGOTTEN_AFTER = 30 * 24 * 3600  # seconds after which nobody goes on with what lies in partial/
SETTLED_AFTER = 2 * 10**9  # ns after a change; before that, a clock may give another change the same time
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a key or a file: never a path out of its folder
_State = tuple[tuple[str, int, int, int], ...]  # name, inode, bytes and time of change of each file
_verified: dict[Path, _State] = {}  # by artifact's folder: its files when their checksums were right


def default_cache() -> Path:
    """``$OODBENCH_CACHE``, else the platform's cache folder."""
    named = os.environ.get("OODBENCH_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("oodbench")


class Artifact(NamedTuple):
    """A verified folder of files."""

    key: str
    folder: Path
    manifest: dict[str, Any]

    def json(self, name: str) -> Any:
        """Read the JSON file ``<name>.json``; raises `DamagedArtifact` if there is none."""
        return json.loads(self._path(f"{name}.json").read_bytes())

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read ``<name>.safetensors``, memory-mapped; raises `DamagedArtifact` if there is none."""
        from safetensors.torch import load_file

        return load_file(self._path(f"{name}.safetensors"))

    def sha256(self, file: str) -> str:
        """Checksum of one file, as the manifest has it; raises `DamagedArtifact` if there is none."""
        return str(self.manifest["files"][self._path(file).name]["sha256"])

    def _path(self, file: str) -> Path:
        """Of a file that the manifest lists: no other was verified."""
        if _checked(file) not in self.manifest["files"]:
            Store(self.folder.parents[2]).set_aside(self.key)
            raise DamagedArtifact(self.key, f"{MANIFEST} lists no {file}")
        return self.folder / file


class Draft:
    """An artifact in the making. Its methods raise `StorageError` if the disk is full or read-only."""

    def __init__(self, folder: Path, partial: Path) -> None:
        self.folder = folder
        self.partial = partial  # outlives a job that is killed; deleted when the artifact is whole
        self.earlier = elapsed_in(partial)  # seconds of attempts that were killed
        self._begun = time.monotonic()

    def report(self, progress: Mapping[str, Any]) -> None:
        """Say how far the job is, for `Store.progress`; a full disk is no reason to stop."""
        with suppress(OSError):
            self.partial.mkdir(parents=True, exist_ok=True)
            fresh = self.partial / f"{PROGRESS}.new"
            elapsed = self.earlier + time.monotonic() - self._begun
            fresh.write_text(json.dumps({**progress, "elapsed": elapsed}))
            fresh.replace(self.partial / PROGRESS)

    def json(self, name: str, value: Any) -> None:
        """Write ``<name>.json``."""
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1)
        path = self.folder / _checked(f"{name}.json")
        with storage_errors(path):
            path.write_text(text, encoding="utf-8")

    def tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write ``<name>.safetensors``."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = self.folder / _checked(f"{name}.safetensors")
        try:
            with storage_errors(path):
                save_file({k: t.contiguous() for k, t in tensors.items()}, path)
        except SafetensorError as error:  # the operating system's refusal, wrapped
            raise StorageError(f"{path}: {error}") from error

    def copy(self, artifact: Artifact, file: str) -> None:
        """Take a file over from another artifact."""
        with storage_errors(path := self.folder / _checked(file)):
            shutil.copyfile(artifact.folder / file, path)

    def read(self, name: str) -> dict[str, Tensor]:
        """Read back ``<name>.safetensors``, memory-mapped."""
        from safetensors.torch import load_file

        return load_file(self.folder / _checked(f"{name}.safetensors"))

    def rows(self, name: str, layout: Mapping[str, tuple[Any, Sequence[int]]]) -> TensorWriter:
        """Begin ``<name>.safetensors``, to be filled a few rows at a time; see `TensorWriter`."""
        return TensorWriter(self.folder / _checked(f"{name}.safetensors"), layout)


class Store:
    """The artifacts below one folder. Cheap to make; safe to share between processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folders and clear away what killed runs left half-made.

        Raises
        ------
        StorageError
            If the folder cannot be written, or holds something else.
        """
        try:
            os.fsencode(self.root).decode()
        except UnicodeDecodeError:
            raise StorageError(
                f"{self.root}: the path of a cache must be UTF-8, as safetensors has it; name another folder"
            ) from None
        with storage_errors(self.root):
            if self.root.is_dir() and not (self.root / TAG).exists() and any(self.root.iterdir()):
                raise StorageError(f"{self.root}: neither empty nor a cache of oodbench; name another folder")
        require_writable(self.root)
        with storage_errors(self.root):
            (self.root / TAG).write_text(SIGNATURE)
            for name in ("objects", "locks", "damaged", "tmp", "partial"):
                (self.root / name).mkdir(exist_ok=True)
            for folder in (self.root / "tmp").iterdir():
                self._clear_away(folder, folder.name.rpartition("-")[0])
            for folder in (self.root / "partial").iterdir():
                with suppress(FileNotFoundError):  # another run finishes with it at this moment
                    if time.time() - folder.stat().st_mtime > FORGOTTEN_AFTER:
                        self._clear_away(folder, folder.name)

    def _clear_away(self, path: Path, key: str) -> None:
        """Delete what the job of `key` left, unless one that lives is at it, which holds the key's lock."""
        lock = FileLock(self.root / "locks" / f"{key if _NAME.fullmatch(key) else 'nobody'}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return
        try:
            delete(path)
        finally:
            lock.release()

    def folder(self, key: str) -> Path:
        """Where the artifact of `key` lies, or would lie."""
        return self.root.joinpath("objects", key[:2], _checked(key))

    def has(self, key: str) -> bool:
        """Whether the artifact exists; does not read it.

        Raises
        ------
        StorageError
            If its folder may not be looked into.
        """
        folder = self.folder(key)
        with storage_errors(folder):
            try:
                (folder / MANIFEST).stat()
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def manifest(self, key: str) -> dict[str, Any]:
        """Read what is known of an artifact, without checking its files.

        Raises
        ------
        DamagedArtifact
            If there is none that can be read.
        """
        try:
            manifest = read_json(self.folder(key) / MANIFEST)
            if not _is_manifest(manifest):
                raise ValueError("not of the form in which it is written")
            if manifest["key"] != key:
                raise ValueError(f"it is that of the artifact {manifest['key']}")
        except (OSError, ValueError) as error:
            self.set_aside(key)
            raise DamagedArtifact(key, f"{MANIFEST}: {type(error).__name__}: {error}") from error
        return dict(manifest)

    def open(self, key: str) -> Artifact:
        """Open an artifact, its checksums verified once a process, and again where a file has changed.

        Raises
        ------
        DamagedArtifact
            If a file is missing, one too many, or differs; the artifact has been set aside and must be
            computed again.
        """
        manifest = self.manifest(key)
        folder, files = self.folder(key), manifest["files"]
        try:
            state = _state(folder)
            names = {name for name, *_ in state} - {MANIFEST}
            if names != files.keys():
                raise ValueError(f"it holds {_listed(names)}, and its manifest lists {_listed(files)}")
            if _verified.get(folder) != state:
                for name, expected in files.items():
                    if sha256_of(folder / name) != expected["sha256"]:
                        raise ValueError(f"{name} does not match its checksum")
        except (OSError, ValueError) as error:
            self.set_aside(key)
            raise DamagedArtifact(key, str(error)) from error
        if time.time_ns() - max(changed for *_, changed in state) > SETTLED_AFTER:
            _verified[folder] = state
        return Artifact(key, folder, manifest)

    def progress(self, key: str) -> dict[str, Any]:
        """How far the job that makes an artifact says it is; empty if it says nothing."""
        return progress_in(self.root / "partial" / _checked(key))

    def set_aside(self, key: str) -> None:
        """Move an artifact out of the way, so that it is computed again."""
        folder = self.folder(key)
        # Another process that read it at the same time may be the first to move it.
        with storage_errors(folder), suppress(FileNotFoundError):
            folder.rename(self.root / "damaged" / f"{key}-{time.time_ns()}")

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of `key`: of several processes that want an artifact, one computes it."""
        lock = FileLock(self.root / "locks" / _checked(f"{key}.lock"))
        with storage_errors(self.root):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def create(self, key: str, made: Mapping[str, Any]) -> Iterator[Draft]:
        """Fill a `Draft`; at the end of the block it takes its place under `key`, whole.

        Hold the lock of `key` meanwhile: without it another run may take the draft for one that was left
        behind. `made` goes into the manifest and may be filled while the block runs.

        Raises
        ------
        StorageError
            If the disk is full or the folder read-only. Nothing is left behind.
        """
        with storage_errors(self.root):
            temporary = Path(tempfile.mkdtemp(prefix=f"{_checked(key)}-", dir=self.root / "tmp"))
        try:
            partial = self.root / "partial" / _checked(key)
            yield Draft(temporary, partial)
            with storage_errors(self.root):
                self._commit(key, temporary, made)
            shutil.rmtree(partial, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _commit(self, key: str, temporary: Path, made: Mapping[str, Any]) -> None:
        files = {}
        for path in sorted(temporary.iterdir()):
            files[path.name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
            path.chmod(0o644)  # safetensors lets nobody else read
            flush(path)
        manifest = {"key": key, "files": files, "made": dict(made)}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
        flush(temporary / MANIFEST)
        temporary.chmod(0o755)
        final = self.folder(key)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():  # computed afresh on request
            final.rename(temporary.with_suffix(".replaced"))
            delete(temporary.with_suffix(".replaced"))
        temporary.rename(final)
        flush(final.parent)

    def usage(self) -> tuple[int, int]:
        """Count the artifacts, and the bytes of everything below the root.

        Raises
        ------
        StorageError
            If a folder may not be looked into.
        """

        def refuse(error: OSError) -> None:
            with storage_errors(Path(error.filename)), suppress(FileNotFoundError):  # a run is at work
                raise error

        artifacts = size = 0
        for folder, _, names in os.walk(self.root, onerror=refuse):
            artifacts += MANIFEST in names and Path(folder).parent.parent == self.root / "objects"
            for name in names:
                with storage_errors(Path(folder)), suppress(FileNotFoundError):
                    size += Path(folder, name).stat().st_size
        return artifacts, size

    def clear(self) -> None:
        """Delete every artifact.

        Raises
        ------
        StorageError
            If the folder is no cache of ours, or cannot be changed.
        """
        with storage_errors(self.root):
            if self.root.exists() and not (self.root / TAG).exists():
                raise StorageError(
                    f"{self.root}: no cache of oodbench ({TAG} is missing); nothing was deleted"
                )
            for name in ("objects", "damaged", "tmp", "partial"):
                if (self.root / name).exists():
                    shutil.rmtree(self.root / name)


def _state(folder: Path) -> _State:
    """What tells whether a file of an artifact has changed; all must be regular."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            seen = entry.stat()
            if not stat.S_ISREG(seen.st_mode):
                raise ValueError(f"{entry.name} is not a regular file")
            found.append((entry.name, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(sorted(found))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file of the cache; expected {_NAME.pattern}")
    return name


def _is_manifest(value: Any) -> bool:
    match value:
        case {"key": str(), "files": dict(files), "made": dict()}:
            return all(
                _NAME.fullmatch(n) and isinstance(f, dict) and isinstance(f.get("sha256"), str)
                for n, f in files.items()
            )
    return False
