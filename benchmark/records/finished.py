"""Reading what finished jobs left, for records: each artifact once, however many cells draw on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AllowInfNan, BaseModel, Field, ValidationError

from benchmark.engines.environment import environment_id
from benchmark.errors import DamagedArtifact
from benchmark.jobs.job import Job, Kind
from benchmark.records.record import Environment
from benchmark.store.artifacts import Artifact, Store

_Finite = Annotated[float, AllowInfNan(False), Field(ge=0)]


class Made(BaseModel):
    """What a manifest says of how its artifact was made."""

    kind: Kind
    date: str
    seconds: _Finite
    peak_memory_mb: _Finite
    peak_device_memory_mb: _Finite | None = None
    least_batch: _Finite | None = None
    environment: dict[str, Any]


class Finished:
    """The artifacts of a plan's jobs.

    Parameters
    ----------
    store
        The cache.
    jobs
        By key; an artifact that says it is of another kind is damaged.
    """

    def __init__(self, store: Store, jobs: Mapping[str, Job]) -> None:
        self.store = store
        self._jobs = jobs
        self._manifests: dict[str, dict[str, Any]] = {}
        self._made: dict[str, Made] = {}
        self._places: dict[str, tuple[str, Environment]] = {}
        self._fingerprints: dict[str, str] = {}

    def made(self, key: str) -> Made:
        """What an artifact's manifest says of how it was made.

        Raises
        ------
        DamagedArtifact
            As by all methods here, if it cannot be read; the artifact has been set aside.
        """
        if key not in self._made:
            try:
                made = Made.model_validate(self._manifest(key)["made"])
                if made.kind != self._jobs[key].kind:
                    raise ValueError(f"it is of the kind {made.kind}, expected {self._jobs[key].kind}")
                self._place(made)
            except ValueError as error:  # of which pydantic's is one
                raise self._damaged(key, error) from error
            self._made[key] = made
        return self._made[key]

    def parts(self, key: str) -> list[Made]:
        """How all was made that an artifact comes of: its shards, where it was cut, and itself."""
        own = self.made(key)
        if "parts.json" not in self._manifest(key)["files"]:
            return [own]
        return [*map(Made.model_validate, self.open(key).json("parts")), own]

    def place(self, key: str) -> tuple[str, Environment]:
        """Where an artifact was made, and its `environment_id`."""
        return self._place(self.made(key))

    def sha256(self, key: str, file: str) -> str:
        """Checksum of a file, as the manifest has it."""
        files = self._manifest(key)["files"]
        if file not in files:
            raise self._damaged(key, f"it lists no {file}")
        return str(files[file]["sha256"])

    def fingerprint(self, key: str) -> str:
        """Of an image set."""
        if key not in self._fingerprints:
            self._fingerprints[key] = self.open(key).json("card")["fingerprint"]
        return self._fingerprints[key]

    def open(self, key: str) -> Artifact:
        """Open an artifact, verified."""
        return self.store.open(key)

    def _manifest(self, key: str) -> dict[str, Any]:
        if key not in self._manifests:
            self._manifests[key] = self.store.manifest(key)
        return self._manifests[key]

    def _place(self, made: Made) -> tuple[str, Environment]:
        text = json.dumps(made.environment, sort_keys=True)
        if text not in self._places:
            place = Environment.model_validate(made.environment)
            self._places[text] = environment_id(place), place
        return self._places[text]

    def _damaged(self, key: str, why: object) -> DamagedArtifact:
        self.store.set_aside(key)
        self._manifests.pop(key, None)
        first = why.errors()[0]["msg"] if isinstance(why, ValidationError) else why
        return DamagedArtifact(key, f"its manifest does not say what it should: {first}")
