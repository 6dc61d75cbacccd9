"""Files that many rows share may grow: whether they keep all that they said, and say it as before."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmark.errors import DataError
from benchmark.records.files import read_records
from benchmark.records.networks import read_networks
from benchmark.records.record import NETWORKS, TRAININGS

SHARED = (NETWORKS, TRAININGS)  # folders below a track


def check_kept(path: str, before: bytes, after: bytes) -> None:
    """Check that a file of networks or of trainings says after a change all that it said before.

    Parameters
    ----------
    path : of the file, ``results/<track>/<folder>/<objective>.json``.

    Raises
    ------
    DataError
        If it does not, or cannot be read.
    """
    *_, track, folder, name = path.split("/")
    with tempfile.TemporaryDirectory(prefix="oodbench-") as made:
        sides = []
        for side, data in (("before", before), ("after", after)):
            file = Path(made) / side / track / folder / name
            file.parent.mkdir(parents=True)
            file.write_bytes(data)
            sides.append(_said(file, folder, path))
    lost = [name for name, said in sides[0].items() if sides[1].get(name) != said]
    if lost:
        raise DataError(f"{path}: {len(lost)} of {len(sides[0])} are changed or gone, such as {lost[0]}")


def _said(file: Path, folder: str, path: str) -> dict[str, object]:
    """What a file says of each network or training."""
    try:
        if folder == NETWORKS:  # whose names are hashes of all that is said
            return dict.fromkeys(read_networks(file), True)
        return {" ".join(map(str, one.cell)): one for one in read_records(file).records}
    except DataError as error:
        raise DataError(str(error).replace(str(file), path)) from error
