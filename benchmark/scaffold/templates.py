"""The texts of new files: `string.Template` fills in names, a person all that is marked TODO."""

from __future__ import annotations

from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent / "texts"


def written(template: str) -> str:
    """A template as it is written."""
    return (FOLDER / f"{template}.txt").read_text(encoding="utf-8")


def filled(template: str, **names: str) -> str:
    """A template with names in the place of ``$name``."""
    return Template(written(template)).substitute(names)
