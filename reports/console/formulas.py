r"""LaTeX formulas as lines of Unicode text: ``\frac{1}{N} \sum_i h_i`` becomes ``(1/N) ∑ᵢ hᵢ``.

It knows what the docstrings of methods use and what is like it. A command that it does not know stands with
its name, without the backslash. A script whose characters Unicode does not have is written ``x_{…}``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, NamedTuple

_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|\s+|.", re.DOTALL)
_SYMBOLS = {
    "sum": "∑", "prod": "∏", "int": "∫", "partial": "∂", "nabla": "∇", "infty": "∞", "ell": "ℓ", "top": "ᵀ",
    "dots": "…", "ldots": "…", "cdots": "…", "varphi": "φ", "varepsilon": "ε", "lambda": "λ", "Lambda": "Λ",
    "emptyset": "∅", "forall": "∀", "exists": "∃", "#": "#", "%": "%", "&": "&", "_": "_", "$": "$",
}  # fmt: skip
_OPERATORS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈", "sim": "~",
    "propto": "∝", "equiv": "≡", "in": "∈", "notin": "∉", "subset": "⊂", "setminus": "∖", "cup": "∪",
    "cap": "∩", "times": "×", "cdot": "·", "circ": "∘", "odot": "⊙", "oplus": "⊕", "pm": "±", "mid": "|",
    "to": "→", "mapsto": "↦", "rightarrow": "→", "leftarrow": "←", "bmod": "mod", "ll": "≪", "gg": "≫",
}  # fmt: skip
_OPENING = {"lVert": "‖", "lvert": "|", "langle": "⟨", "lfloor": "⌊", "lceil": "⌈", "{": "{"}
_CLOSING = {"rVert": "‖", "rvert": "|", "rangle": "⟩", "rfloor": "⌋", "rceil": "⌉", "}": "}"}
_BARS = {"|": "‖", "Vert": "‖", "vert": "|"}  # of either side, or between two arguments
_SIZES = {"left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "bigg", "Bigg", "middle"}
_SPACES = {",", ";", ":", " ", ">", "quad"}
_NOTHING = {"!", "displaystyle", "limits", "nolimits", "nonumber"}
_ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "tilde": "\u0303", "widetilde": "\u0303", "bar": "\u0304",
    "overline": "\u0304", "vec": "\u20d7", "dot": "\u0307", "ddot": "\u0308",
}  # fmt: skip
_FONTS = {"mathrm", "mathbf", "mathcal", "mathit", "mathsf", "operatorname", "operatorname*", "boldsymbol"}
_TEXTS = {"text", "textrm", "textbf", "mbox"}
_DOUBLE = str.maketrans("CENPRZ", "ℂ𝔼ℕℙℝℤ")
_BELOW = dict(
    zip("0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True)
)
_ABOVE = dict(
    zip(
        "0123456789+-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδ*ᵀ'",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟ*ᵀ'",
        strict=True,
    )
)
_PAIRS = {"(": ")", "[": "]", "{": "}", "⟨": "⟩", "⌊": "⌋", "⌈": "⌉"}

_Kind = Literal["atom", "word", "fraction", "open", "close", "operator", "mark", "space", "break"]
_LINE, _ALIGN, _QUAD = "\n", "\t", "\v"
_SCRIPTS = frozenset([*_BELOW.values(), *_ABOVE.values()]) - set("*'")


class _Piece(NamedTuple):
    kind: _Kind
    text: str


def formula_lines(latex: str) -> list[str]:
    r"""Write a displayed formula as text, an equation a line.

    A line ends at ``\\``, at ``\qquad``, and at a ``\quad`` after a comma.
    """
    lines: list[str] = []
    for part in re.split(rf"{_LINE}|, *{_QUAD}", _Reader(latex).read()):
        text = " ".join(part.split()).removesuffix(",")
        goes_on = lines and part.strip(" ").startswith(_ALIGN)  # nothing stands on the left of the &
        lines += [f"    {text}" if goes_on else text] if text else []
    return lines


def formula_text(latex: str) -> str:
    """Write a formula within a sentence as text of one line."""
    return " ".join(_Reader(latex).read().split())


@dataclass
class _Reader:
    """Reads one formula from left to right."""

    latex: str

    def __post_init__(self) -> None:
        self.tokens: list[str] = _TOKEN.findall(self.latex)
        self.at = 0

    def read(self) -> str:
        return _join(self.pieces(end=None))

    def pieces(self, end: str | None) -> list[_Piece]:
        """Everything up to the sign `end`, which is passed over, or to the end of the formula."""
        found: list[_Piece] = []
        while self.at < len(self.tokens):
            sign = self.tokens[self.at]
            if sign == end:
                self.at += 1
                break
            if sign == r"\end":  # of an environment: its rows have been read
                break
            found += self.piece()
        return found

    def piece(self) -> list[_Piece]:
        sign = self.tokens[self.at]
        self.at += 1
        if sign.isspace() or sign == "~":
            return [_Piece("space", " ")]
        if sign == "{":
            return [_Piece("atom", _join(self.pieces("}")))]
        if sign in "_^":
            self.at -= 1
            return [_Piece("mark", self.scripts())]
        if sign == "&":
            return [_Piece("space", _ALIGN)]
        if sign.startswith("\\"):
            return self.command(sign[1:])
        if sign in "([":
            return [_Piece("open", sign)]
        if sign in ")]":
            return [_Piece("close", sign)]
        if sign in "=<>":
            return [_Piece("operator", sign)]
        return [_Piece("atom" if sign.isalnum() else "mark", sign)]

    def command(self, name: str) -> list[_Piece]:
        if name in ("\\", "qquad"):
            return [_Piece("break", _LINE)]
        if name in _SPACES:
            return [_Piece("space", _QUAD if name == "quad" else " ")]
        if name in _NOTHING:
            return []
        if name in _SIZES:
            self.skip_spaces()
            if self.tokens[self.at : self.at + 1] == ["."]:  # \right. closes nothing
                self.at += 1
            return []
        if name in _OPENING:
            self.skip_spaces()
            return [_Piece("open", _OPENING[name])]
        if name in _CLOSING:
            return [_Piece("close", _CLOSING[name])]
        if name in _BARS:
            return [_Piece("mark", _BARS[name])]
        if name in _OPERATORS:
            return [_Piece("operator", _OPERATORS[name])]
        if name in ("frac", "tfrac", "dfrac"):
            above, below = self.argument(), self.argument()
            return [_Piece("fraction", f"{_wrapped(above)}/{_wrapped(below)}")]
        if name == "sqrt":
            return [_Piece("atom", f"√{_wrapped(self.argument())}")]
        if name in _ACCENTS:
            return [_Piece("atom", _accented(self.argument(), _ACCENTS[name]))]
        if name in _TEXTS:
            return [_Piece("mark", self.verbatim())]
        if name in _FONTS:
            text = self.argument()
            return [_Piece("word" if len(text) > 1 else "atom", text)]
        if name == "mathbb":
            return [_Piece("atom", self.argument().translate(_DOUBLE))]
        if name == "begin":
            return self.environment(self.argument())
        if name in ("partial", "nabla"):
            self.skip_spaces()
            return [_Piece("mark", _SYMBOLS[name])]
        symbol = _SYMBOLS.get(name) or _greek(name)
        return [_Piece("atom", symbol) if symbol else _Piece("word", name)]

    def argument(self) -> str:
        """The next group in braces, or the next single sign."""
        self.skip_spaces()
        return _join(self.piece()) if self.at < len(self.tokens) else ""

    def verbatim(self) -> str:
        """The next group in braces with its spaces."""
        self.skip_spaces()
        depth, start = 0, self.at
        while self.at < len(self.tokens):
            depth += {"{": 1, "}": -1}.get(self.tokens[self.at], 0)
            self.at += 1
            if depth <= 0:
                break
        return "".join(self.tokens[start : self.at]).removeprefix("{").removesuffix("}")

    def environment(self, name: str) -> list[_Piece]:
        """Cases as ``{ value for condition; … }``; another environment is read as its rows."""
        rows: list[list[str]] = [[""]]
        while self.at < len(self.tokens) and self.tokens[self.at] != r"\end":
            sign = self.tokens[self.at]
            if sign == "&":
                self.at += 1
                rows[-1].append("")
            elif sign == r"\\":
                self.at += 1
                rows.append([""])
            else:
                cell: list[_Piece] = []
                while self.at < len(self.tokens) and self.tokens[self.at] not in ("&", r"\\", r"\end"):
                    cell += self.piece()
                rows[-1][-1] += _join(cell)
        self.at += 1
        self.argument()  # the name after \end
        between = " for " if name == "cases" else ", "
        lines = [between.join(" ".join(cell.split()) for cell in row if cell.strip()) for row in rows]
        text = "; ".join(line for line in lines if line)
        return [_Piece("atom", f"{{ {text} }}" if name == "cases" else text)]

    def scripts(self) -> str:
        """The subscript and the superscript at this place; those that Unicode has come first."""
        small, large = [], []
        while self.at < len(self.tokens) and self.tokens[self.at] in ("_", "^"):
            mark = self.tokens[self.at]
            self.at += 1
            self.skip_spaces()
            named = "".join(self.tokens[self.at : self.at + 1])[1:] in _FONTS  # a word, such as s_max
            text = self.argument().strip()
            table = _BELOW if mark == "_" else _ABOVE
            short = "".join(text.split())
            if short and not named and all(character in table for character in short):
                small.append("".join(table[character] for character in short))
            else:
                plain = sum(not unicodedata.combining(c) for c in text) == 1 or text.isalpha()
                large.append(f"{mark}{text}" if plain else f"{mark}{{{text}}}")
        return "".join(small + large)

    def skip_spaces(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1


def _join(pieces: list[_Piece]) -> str:
    """Write pieces one after the other, with spaces where they are read apart."""
    text = ""
    solid = [piece for piece in pieces if piece.kind != "space"]
    at = -1  # of the last of `solid` that has been written
    for i, piece in enumerate(pieces):
        if piece.kind == "space":
            if piece.text != " " or not text.endswith((" ", *_PAIRS)):
                text += piece.text
            continue
        at += 1
        before = solid[at - 1] if at else None
        after = solid[at + 1] if at + 1 < len(solid) else None
        if piece.kind == "operator":
            text = (f"{text.rstrip(' ')} " if text.strip() else text) + f"{piece.text} "
        elif piece.kind == "fraction":
            text += (
                f"({piece.text})" if _binds(before, left=True) or _binds(after, left=False) else piece.text
            )
        elif piece.kind == "word":
            if before and before.kind in ("atom", "word", "close") and not text.endswith((" ", _ALIGN)):
                text += " "
            text += piece.text
            if after and after.kind in ("atom", "word", "fraction") and pieces[i + 1].kind != "space":
                text += " "
        elif piece.kind in ("close", "break") or piece.text in ",;":
            text = text.rstrip(" ") + piece.text
        else:
            text += piece.text
    return unicodedata.normalize("NFC", text)


def _binds(beside: _Piece | None, *, left: bool) -> bool:
    """Whether a fraction next to this must be put into brackets to be read as one factor."""
    if beside is None:
        return False
    if beside.kind in ("atom", "word", "fraction"):
        return True
    if beside.kind == "mark":
        first = beside.text[:1]
        return first in set("/_^∂∇'") | _SCRIPTS
    return beside.kind == ("close" if left else "open")


def _wrapped(text: str) -> str:
    """`text` in brackets, unless it is one number, one letter with its scripts, or one bracket or call."""
    text = text.strip()
    flat, depth, bar = "", 0, ""
    for character in text:
        if character in _PAIRS.values():
            depth -= 1
        if character in "‖|":
            bar = "" if bar == character else bar or character
        if not depth and not bar and not unicodedata.combining(character) and character not in _SCRIPTS:
            flat += character
        if character in _PAIRS:
            depth += 1
    one = r"[\d.]+|[∂√]?[^\W\d]['*]*(_(\w|\{\}))?(\^(\w|\{\}))?|[#∂√]?\w*(\(\)|\{\})|⟨⟩|⌊⌋|[|‖]|[a-z]{3,}"
    return text if re.fullmatch(one, flat) else f"({text})"


def _accented(text: str, mark: str) -> str:
    """Put an accent on a letter, or on each of several; not on its scripts."""
    base, *_ = re.split(r"[_^]", text)
    accented = "".join(c if c in _SCRIPTS or not c.isalpha() else c + mark for c in base)
    return accented + text[len(base) :]


def _greek(name: str) -> str:
    case = "CAPITAL" if name[:1].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper()}")
    except KeyError:
        return ""
