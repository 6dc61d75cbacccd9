"""Files of records of the experiment in two dimensions, of what its arms are said to have given."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmark.records.families import family_of
from benchmark.records.record import BOUNDARY, PLANE, Record, RecordFile
from benchmark.studies.plane.records import of_arm
from benchmark.studies.plane.settings import ARMS


def plane_files(results: Iterable[Mapping[str, Any]]) -> list[RecordFile]:
    """The files of results of `benchmark.studies.plane.measure.run_arm`, one an arm."""
    found = list(results)
    files = []
    for arm in ARMS:
        of = sorted((one for one in found if one["arm"] == arm), key=lambda one: one["seed"])
        place = {"backbone": "mlp", "init": "scratch", "key": ""}
        records = [Record.model_validate({**place, "seed": one["seed"], **of_arm(one)}) for one in of]
        for record in records:
            family_of(PLANE).check(record)
        if records:
            about = {"track": BOUNDARY, "study": PLANE, "row": arm, "environments": {}}
            files.append(RecordFile(**about, records=records))
    return files
