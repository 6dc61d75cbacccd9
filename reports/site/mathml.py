r"""LaTeX formulas of docstrings as MathML Core, which browsers show without a script.

`math_core` reads the LaTeX. Of what it writes, only elements and attributes of MathML Core are passed on: the
content policy of the pages forbids ``style``, so that a cell of a table says by its class, ``left`` or
``right``, how it is aligned, and the pages' style sheet does it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser

from markupsafe import Markup, escape
from math_core import LatexError, LatexToMathML

from reports.console.formulas import formula_text

_LEAVES = frozenset({"mi", "mn", "mo", "ms", "mspace", "mtext"})  # text, or nothing, and no elements
_ELEMENTS = _LEAVES | {
    "math", "mfrac", "mmultiscripts", "mover", "mpadded", "mphantom", "mprescripts", "mroot", "mrow", "msqrt",
    "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtr", "munder", "munderover",
}  # fmt: skip
_ATTRIBUTES = frozenset({
    "accent", "accentunder", "columnspan", "depth", "display", "displaystyle", "form", "height", "largeop",
    "linethickness", "lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "rowspan", "rspace",
    "scriptlevel", "stretchy", "symmetric", "voffset", "width",
})  # fmt: skip
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_ROWS = re.compile(r"(?<!\\)&|\\\\")
_SIDE = re.compile(r"text-align: *(left|right)")
_SCRIPTS_OF_SIZED = re.compile(r"(<msu(?:b|p|bsup)>)(<mo [^>]*minsize[^>]*>[^<]*</mo>)")
_LONGEST = 2_000  # characters; a few thousand nested braces would be more than math_core's stack holds

_CONVERTER = LatexToMathML(ignore_unknown_commands=True, allow_unreliable_rendering=True, fancy_error=False)


def mathml(latex: str, *, display: bool = False) -> Markup:
    r"""Write a formula as a ``<math>`` element, `display` one in a line of its own.

    Rows that end at ``\\``, with ``&`` where they are aligned, need no environment around them. A command
    that is unknown stands with its name; LaTeX that cannot be read stands as Unicode text.
    """
    latex = _NO_TEXT.sub("", latex)
    if len(latex) <= _LONGEST:
        rows = f"\\begin{{aligned}}{latex}\n\\end{{aligned}}" if _ROWS.search(latex) else latex
        with suppress(LatexError):
            written = _CONVERTER.convert_with_local_state(rows, displaystyle=display)
            # A large bracket that has scripts is large in Chromium only where it stands in a row.
            return _Core(_SCRIPTS_OF_SIZED.sub(r"\1<mrow>\2</mrow>", written)).markup()
    return _as_text(latex, display)


def _as_text(latex: str, display: bool) -> Markup:
    try:
        text = formula_text(latex)
    except RecursionError:  # braces in braces in …
        text = latex
    opening = Markup('<math display="block">') if display else Markup("<math>")
    return opening + Markup("<mtext>{}</mtext></math>").format(text.replace("\\", ""))


class _Core(HTMLParser):
    """Writes MathML again without all that MathML Core does not have."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.parts: list[Markup] = []
        self.open: list[tuple[str, str]] = []  # elements: as they were and, unless left out, as they are
        self.feed(written)
        self.close()

    def markup(self) -> Markup:
        return Markup("").join(self.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        within = any(name in _LEAVES for _, name in self.open)
        name = "" if within else tag if tag in _ELEMENTS else "mrow"
        self.open.append((tag, name))
        if not name:
            return
        kept = {key: value or "" for key, value in attrs if key in _ATTRIBUTES}
        side = _SIDE.search(dict(attrs).get("style") or "")
        if side:
            kept["class"] = side[1]
        written = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in kept.items())
        self.parts.append(Markup("<{}{}>").format(name, written))

    def handle_endtag(self, tag: str) -> None:
        _, name = self.open.pop()
        if name:
            self.parts.append(Markup("</{}>").format(name))

    def handle_data(self, data: str) -> None:
        unknown = any(tag == "merror" for tag, _ in self.open)
        self.parts.append(escape(data.removeprefix("\\") if unknown else data))
