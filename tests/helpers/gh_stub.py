"""A stand-in for GitHub's command line: it answers from a folder, and writes down what it was asked.

``answers.json`` has what GET gives, by path; a value ``{"file": name}`` stands for the bytes of a file of the
folder. Lists are given in pages. What is sent is in ``asked.jsonl``, a line a call.
"""

import json
import os
import stat
import sys
from pathlib import Path

STATE = "GH_STATE"


def install(binaries: Path, state: Path, **answers: object) -> dict[str, str]:
    """Put it on a PATH; the environment that it needs."""
    binaries.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    program = binaries / "gh"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{__file__}' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    answer(state, answers)
    return {STATE: str(state), "GH_TOKEN": "of nobody"}


def answer(state: Path, answers: dict[str, object]) -> None:
    """What is given from now on."""
    (state / "answers.json").write_text(json.dumps(answers))


def asked(state: Path) -> list[dict[str, object]]:
    """What was sent so far: method, path, fields, and JSON."""
    path = state / "asked.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def sent(state: Path) -> list[dict[str, object]]:
    """Only what changed something."""
    return [one for one in asked(state) if one["method"] != "GET"]


def main(arguments: list[str]) -> int:
    state = Path(os.environ[STATE])
    if arguments[:1] != ["api"]:
        _write(state, {"method": "gh", "path": " ".join(arguments), "fields": {}, "said": None})
        return 0
    method, fields, path, given = "GET", {}, "", None
    rest = iter(arguments[1:])
    for argument in rest:
        match argument:
            case "--method":
                method = next(rest)
            case "--raw-field":
                name, _, value = next(rest).partition("=")
                fields[name] = value
            case "--input":
                assert next(rest) == "-"
                given = json.load(sys.stdin)
            case _:
                path = argument
    _write(state, {"method": method, "path": path, "fields": fields, "said": given})
    if method != "GET":
        sys.stdout.write(json.dumps({"number": 1, "id": 1}))
        return 0
    answers = json.loads((state / "answers.json").read_text())
    found = answers.get(path)
    if found is None:
        sys.stderr.write(f"gh: Not Found (HTTP 404): {path}\n")
        return 1
    if isinstance(found, dict) and "file" in found:
        sys.stdout.buffer.write((state / found["file"]).read_bytes())
        return 0
    if isinstance(found, list):
        size, page = int(fields.get("per_page", 30)), int(fields.get("page", 1))
        found = found[size * (page - 1) : size * page]
    sys.stdout.write(json.dumps(found))
    return 0


def _write(state: Path, call: dict[str, object]) -> None:
    with (state / "asked.jsonl").open("a") as file:
        file.write(json.dumps(call) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
