"""`oodbench schema`."""

import json

from places import ROOT


def test_schema_is_json_and_the_one_that_editors_use(command):
    code, out, _ = command("schema")
    assert code == 0
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")
    assert (ROOT / "benchmark" / "leaderboard.schema.json").read_text(encoding="utf-8") == out, (
        "run: oodbench schema > benchmark/leaderboard.schema.json"
    )
