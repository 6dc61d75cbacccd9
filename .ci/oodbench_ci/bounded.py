"""JSON, text and names that a stranger may have written: read within bounds, and shown as they are.

A comment is Markdown that GitHub renders: it knows HTML, links, images, @names and #numbers.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from benchmark.errors import DataError

DEEPEST = 24  # values within values; a record of ours goes 9 deep
LONGEST_TEXT = 200_000  # characters of a text in JSON; a series of ours takes 60,000
LONGEST_PATH = 200
# Characters that show nothing, or change the direction of what stands beside them: code with them is not
# what it looks like (CVE-2021-42574). Tabs and line ends are no such.
HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.+~@-]+(?:/[A-Za-z0-9_.+~@-]+)*")
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def read_bounded_json(data: bytes, where: str, largest: int) -> Any:
    """The value of a JSON text of at most `largest` bytes, without NaN, infinity or duplicate keys.

    Raises
    ------
    DataError
        If it is larger, nested deeper than `DEEPEST`, no JSON, or has a longer text than `LONGEST_TEXT` or
        one with hidden characters; it says where and what.
    """
    if len(data) > largest:
        raise DataError(f"{where}: {len(data):,} bytes; expected at most {largest:,}")
    depth = deepest = 0
    for found in _NESTING.finditer(data):  # before the parser, which recurses
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise DataError(f"{where}: nested {deepest} deep; expected at most {DEEPEST}")
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON that is taken: {error!s:.200}") from error
    _check_texts(value, where)
    return value


def plain_path(path: str) -> bool:
    """Whether a path has plain names alone, and leads nowhere but down."""
    parts = path.split("/")
    dotted = any(part in (".", "..") or part.lower() == ".git" for part in parts)
    return len(path) <= LONGEST_PATH and not dotted and _PLAIN_PATH.fullmatch(path) is not None


def shown(text: str, longest: int = LONGEST_PATH) -> str:
    """A text on one line, of plain characters: all others as Python escapes them."""
    line = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    return line if len(line) <= longest else f"{line[:longest]}…"


def as_code(text: str, longest: int = LONGEST_PATH) -> str:
    """A text as code in Markdown, where nothing in it is a link, a name or a tag."""
    line = shown(text, longest).replace("|", "¦")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def tamed(markdown: str) -> str:
    """Markdown whose text is escaped already, in which GitHub now finds no @name, #number and no address.

    A word joiner, which is not seen, parts what GitHub would take for one.
    """
    joiner = "\u2060"
    text = HIDDEN.sub("", markdown)
    text = re.sub(r"(?<=[@#])(?=\w)", joiner, text)
    text = re.sub(r"(?i)\b(GH)-(?=\d)", rf"\1{joiner}-", text)
    text = re.sub(r"(?i)\b(https?|ftp|mailto|xmpp)(?=:)", rf"\1{joiner}", text)
    return re.sub(r"(?i)\b(www)(?=\.)", rf"\1{joiner}", text)


def _check_texts(value: Any, where: str) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            if len(one) > LONGEST_TEXT:
                raise DataError(
                    f"{where}: a text of {len(one):,} characters; expected at most {LONGEST_TEXT:,}"
                )
            if (bad := HIDDEN.search(one)) is not None:
                raise DataError(
                    f"{where}: a text with the hidden character U+{ord(bad[0]):04X}; expected none"
                )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"got {constant}; expected a number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"got {text:.40}; expected a number that float64 holds")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key!r:.80}")
        found[key] = value
    return found
