"""Published records of the small leaderboard, altered by somebody who wants other numbers to stand there."""

from dataclasses import replace

from benchmark.records import files
from benchmark.records.files import read_records, write_files
from benchmark.records.text import record_path


def change(results, entry="msp", seed=0, **changes):
    """Change a published record: `changes` are functions of what it has, by field; None takes it away."""
    path = record_path(results, "small", entry)
    file = read_records(path)
    records = []
    for record in file.records:
        if record.seed != seed:
            records.append(record)
        elif changes:
            values = {name: edit(getattr(record, name)) for name, edit in changes.items()}
            records.append(record.model_copy(update=values))
    write_files({path: file.model_copy(update={"records": records})})


def numbers(**values):
    """Edits numbers; names have `_` in place of `.`."""

    def edit(found):
        paths = {path.replace(".", "_"): path for path in found}
        return {**found, **{paths[name]: change(found[paths[name]]) for name, change in values.items()}}

    return edit


def elsewhere(results, entry="msp"):
    """Have the records of an entry say that they were made on another machine."""
    path = record_path(results, "small", entry)
    file = read_records(path)
    places = {
        name: place.model_copy(update={"processor": "Another CPU"})
        for name, place in file.environments.items()
    }
    write_files({path: file.model_copy(update={"environments": places})})


def unchecked(patch):
    """Let records be written that the reader refuses, as somebody can who edits a file by hand."""
    known = files.family_of
    patch.setattr(files, "family_of", lambda study: replace(known(study), check=lambda record: None))
