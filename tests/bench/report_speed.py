"""Print what a site costs to build again, over building it anew: CPU time, within one run.

The first build draws every plot; the second is of the same records, the third of one record less. Both take
what would come out the same from the first. The ratios are what counts, not the seconds.

Run: python tests/bench/report_speed.py [RESULTS]        those of the checkout, or a folder of your own
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmark.records.files import iterate
from benchmark.records.record import DETECTION, RecordFile
from benchmark.spec.load import load_spec
from reports.site.build import build_site

ROOT = Path(__file__).parents[2]
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def with_one_changed(files: Iterator[RecordFile]) -> Iterator[RecordFile]:
    """The same files, but that the first with cells lacks its last record."""
    changed = False
    for file in files:
        if not changed and file.study == DETECTION and len(file.records) > 1:
            changed = True
            yield file.model_copy(update={"records": file.records[:-1]})
        else:
            yield file


def main() -> None:
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results"
    spec = load_spec(ROOT / "leaderboard.yaml")
    with tempfile.TemporaryDirectory() as folder:
        seconds = {}
        for what in ("anew", "again", "one record changed"):
            files = iterate(results)
            if what == "one record changed":
                files = with_one_changed(files)
            start = time.process_time()
            written = build_site(spec, files, Path(folder), generated=NOW, incremental=True)
            seconds[what] = time.process_time() - start
            ratio = seconds[what] / seconds["anew"]
            print(
                f"{what:>18}: {len(written)} files, {seconds[what]:5.1f} s CPU, ratio {ratio:.2f}", flush=True
            )


if __name__ == "__main__":
    main()
