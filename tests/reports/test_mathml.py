"""Formulas as MathML: those of every method's docstring, what each kind becomes, and LaTeX that is none."""

import inspect
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape

from methods import registry
from reports.site.mathml import mathml

METHODS = [(family, name) for family in registry.FAMILIES for name in registry.family(family)]
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
CORE = {  # https://www.w3.org/TR/mathml-core/#mathml-elements-and-attributes, without annotations and merror
    "math", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom", "mprescripts",
    "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext",
    "mtr", "munder", "munderover",
}  # fmt: skip
LEAVES = {"mi", "mn", "mo", "ms", "mspace", "mtext"}
CHILDREN = {
    "mfrac": 2, "mover": 2, "mroot": 2, "msub": 2, "msubsup": 3, "msup": 2, "munder": 2, "munderover": 3,
}  # fmt: skip
APPLIED = "\u2061"  # between a function and what it is applied to; nothing to see


def tree(latex, *, display=False):
    """The formula, read as XML, after all that is asked of every formula."""
    found = mathml(latex, display=display)
    assert isinstance(found, Markup)
    math = ET.fromstring(f'<p xmlns="{NAMESPACE[1:-1]}">{found}</p>')[0]
    for element in math.iter():
        element.tag = element.tag.removeprefix(NAMESPACE)
        assert element.tag in CORE
        assert element.tag not in LEAVES or len(element) == 0
        assert not element.attrib.keys() & {"style", "href", "id", "onclick"}
        assert element.get("class") in (None, "left", "right")
    assert math.tag == "math"
    assert math.get("display") == ("block" if display else None)
    return math


def outline(element):
    """Such as ``msub(x i)``: without attributes, rows of one, and what is not seen."""
    if element.tag in LEAVES:
        text = element.text or ""
        return "" if text == APPLIED else text.strip().replace("\ufe00", "")
    inner = " ".join(filter(None, map(outline, element)))
    one = len([child for child in element if outline(child)]) == 1
    return inner if element.tag == "math" or (element.tag == "mrow" and one) else f"{element.tag}({inner})"


def formulas(doc):
    """Formulas of a docstring, and whether each is displayed."""
    for found in re.finditer(r"^\.\. math::(.*\n?(?: .*\n?|\n)*)", doc, re.MULTILINE):
        yield found[1].strip(), True
    for found in re.finditer(r":math:`([^`]*)`", doc):
        yield found[1], False


def doc_of(family, name):
    return inspect.cleandoc(registry.method_class(family, name).__doc__)


def test_formulas_are_found():
    found = [formula for method in METHODS for formula in formulas(doc_of(*method))]
    assert len(METHODS) > 75
    assert sum(displayed for _, displayed in found) > 90
    assert sum(not displayed for _, displayed in found) > 90


@pytest.mark.parametrize(("family", "name"), METHODS)
def test_every_formula_of_a_method_is_read(family, name):
    for latex, displayed in formulas(doc_of(family, name)):
        math = tree(latex, display=displayed)
        assert "\\" not in "".join(math.itertext()), latex
        assert all(len(element) == CHILDREN.get(element.tag, len(element)) for element in math.iter()), latex
        texts = {"", *(" ".join(text.split()) for text in re.findall(r"\\text\{([^}]*)\}", latex))}
        said = {" ".join((element.text or "").split()).replace("’", "'") for element in math.iter("mtext")}
        assert said <= texts, latex  # neither the name of an unknown command nor a whole formula as text
        signs = re.sub(r"\\(begin|end)\{\w+\}|\\[A-Za-z]+", "", latex)
        assert letters(signs) <= letters("".join(math.itertext())), latex  # nothing is left out


def letters(text):
    """How often each letter and figure is in a text, in whatever font."""
    return Counter(re.findall(r"[A-Za-z0-9]", unicodedata.normalize("NFKC", text)))


@pytest.mark.parametrize(
    ("latex", "written"),
    [  # the right-hand sides are written by hand
        (r"\frac{1}{N} h", "mfrac(1 N) h"),
        (r"\frac1K", "mfrac(1 K)"),
        (r"\sqrt{x}", "msqrt(x)"),
        (r"\sqrt[3]{x}", "mroot(x 3)"),
        (r"x_i^2", "msubsup(x i 2)"),
        (r"x^2_i", "msubsup(x i 2)"),
        (r"d_{(k)}", "msub(d mrow(( k )))"),
        (r"x'_i", "msubsup(x i ′)"),
        (r"V^\top", "msup(V ⊤)"),
        (r"\hat y", "mover(y ˆ)"),
        (r"\bar\delta_l", "msub(mover(δ ¯) l)"),
        (r"\tilde w_{ik}", "msub(mover(w ˜) mrow(i k))"),
        (r"\vec x", "mover(x ⃗)"),
        (r"\mathbf{x} \mathbf 1 \mathcal{N} \mathbb{R}", "𝐱 𝟏 𝒩 ℝ"),
        (r"p = \mathrm{softmax}(z)", "p = softmax ( z )"),
        (r"h^{\mathrm d}", "msup(h d)"),
        (r"s_\mathrm{max}", "msub(s max)"),
        (r"\lVert h \rVert_1", "‖ h msub(‖ 1)"),
        (r"\left(\frac{a}{b}\right)^2", "msup(mrow(( mfrac(a b) )) 2)"),
        (r"\left. a \right|_x", "msub(mrow(\u2063 a |) x)"),
        (r"a \le b \ne c \in \{1, \dots, K\} \setminus \{i\}", "a ≤ b ≠ c ∈ { 1 , . . . , K } ∖ { i }"),
        (r"\log \exp x", "log exp x"),
        (r"a \text{ for <b> } c", "a for\u00a0<b> c"),
        (r"\alpha \Sigma \varepsilon \ell \infty", "α Σ ε ℓ ∞"),
        (r"\#\{i\}", "# { i }"),
        ("", ""),
    ],
)
def test_what_is_written(latex, written):
    assert outline(tree(latex)) == written


@pytest.mark.parametrize(
    ("latex", "written"),
    [  # written by hand
        (r"\sum_{i=1}^n x", "munderover(∑ mrow(i = 1) n) x"),
        (r"\prod_i x", "munder(∏ i) x"),
        (r"\max_k z", "munder(max k) z"),
        (r"\arg\min_k z", "arg munder(min k) z"),
        (r"\operatorname*{argmax}_k z", "munder(argmax k) z"),
    ],
)
def test_limits_stand_below_in_a_displayed_formula_and_beside_within_a_sentence(latex, written):
    for display in (False, True):
        math = tree(latex, display=display)
        assert outline(math) == written
        (limits,) = [*math.iter("munder"), *math.iter("munderover")]
        movable = limits[0].text in "∑∏" or limits[0].get("movablelimits") == "true"
        assert movable  # then browsers place them as `display` says


@pytest.mark.parametrize(
    ("latex", "written"),
    [
        (r"\int_0^1 x", "msubsup(∫ 0 1) x"),
        (r"\operatorname{mean}_k z", "msub(mean k) z"),
        (r"\log_2 z", "msub(log 2) z"),
    ],
)
def test_scripts_stand_beside(latex, written):
    assert outline(tree(latex, display=True)) == outline(tree(latex)) == written


@pytest.mark.parametrize("latex", [r"a &= b \\ &= c", "\\begin{aligned} a &= b \\\\ &= c \\end{aligned}"])
def test_rows_are_aligned(latex):
    math = tree(latex, display=True)
    assert outline(math).count("mtr(mtd() mtd(= c))") == 1
    rows = [row for row in math.iter("mtr") if len(row) == 2]
    assert [[cell.get("class") for cell in row] for row in rows] == [["right", "left"]] * 2
    assert outline(rows[0]) == "mtr(mtd(a) mtd(= b))"


def test_an_ampersand_that_is_text_begins_no_column():
    assert outline(tree(r"a \& b")) == "a & b"


def test_cases_are_a_table_behind_a_brace():
    math = tree(r"h = \begin{cases} 0 & x < a \\ x & \text{else} \end{cases}", display=True)
    cases = "mtable(mtr(mtd(0) mtd(x < a)) mtr(mtd(x) mtd(else)))"
    assert cases in outline(math)
    assert outline(math).replace(cases, "…").count("{ …") == 1
    assert [cell.get("class") for cell in list(math.iter("mtable"))[-1].iter("mtd")] == ["left"] * 4


def test_spaces_are_wide():
    widths = [
        float(space.get("width", "0em")[:-2]) for space in tree(r"a \, b \quad c \qquad d").iter("mspace")
    ]
    assert widths == pytest.approx([1 / 6, 1, 2], abs=0.01)


def test_names_are_upright_and_letters_are_not():
    math = tree(r"\mathrm{d} x \log x \mathrm{KL} \Gamma \gamma")
    slanted = [e.text for e in math.iter("mi") if len(e.text) == 1 and e.get("mathvariant") != "normal"]
    assert slanted == ["x", "x", "γ"]


def test_a_large_bracket_with_scripts_stands_in_a_row():
    math = tree(r"\Big( x \Big)_y^2")
    (scripts,) = math.iter("msubsup")
    assert scripts[0].tag == "mrow"
    assert scripts[0][0].get("minsize") == math[0].get("minsize") == "1.623em"  # as TeX has it


def test_an_unknown_command_stands_with_its_name():
    assert outline(tree(r"\frobnicate{x} + \frac{\nothing}{2}")) == "frobnicate x + mfrac(nothing 2)"


@pytest.mark.parametrize(
    ("latex", "text"),
    [  # written by hand
        (r"\sum_i {x_i", "∑ᵢ xᵢ"),
        (r"a}", "a}"),
        (r"\left( a", "(a"),
        (r"\alpha_", "α_{}"),
        (r"\text{if $a < b$}", "if $a < b$"),
        (r"\begin{cases} a & b", "{ a for b }"),
    ],
)
def test_what_cannot_be_read_stands_as_text(latex, text):
    for display in (False, True):
        (only,) = tree(latex, display=display)
        assert (only.tag, only.text) == ("mtext", text)


@pytest.mark.parametrize("times", [150, 1_000, 20_000])
@pytest.mark.parametrize("latex", ["{", r"\frac{", r"\hat", r"\left(", "x^", r"\log(", r"\sqrt{", "a"])
def test_no_formula_is_too_deep_or_too_long(latex, times):
    for close in ("", "}" * times):
        assert "\\" not in mathml(latex * times + close)


@pytest.mark.parametrize(
    "latex",
    [
        "<script>alert(1)</script>",
        r"\text{<b onclick='x'>}",
        r"\text{&amp;<} \text{a & b}",
        r"\texttt{a}\textbf{b}\textrm{c}",
        r"\href{javascript:alert(1)}{x} \url{x} \style{color:red}{x} \class{a}{x}",
        r"\begin{align} a \label{q} \end{align} \eqref{q}",
        r"\cancel{xy}_2 \boxed{x} \color{red} x",
        r"\newcommand{\x}{<b>} \x \def\a{\a\a} \a",
        r"\begin{array}{l|r} a & b \\ \hline c & d \end{array}",
        "\x00 a \ud800 b \x0b \uffff",
    ],
)
def test_nothing_but_mathml_comes_out(latex):
    for display in (False, True):
        tree(latex, display=display)
        assert escape(mathml(latex, display=display)) == mathml(latex, display=display)


SIGNS = st.sampled_from([
    *"{}_^&|()[].~'<>\"%$#ab1 \n", r"\\", r"\frac", r"\sqrt", r"\left", r"\right", r"\text", r"\mathrm",
    r"\hat", r"\begin{cases}", r"\end{cases}", r"\begin{array}", r"\end", r"\overline", r"\sum", r"\max",
    r"\limits", r"\big", r"\operatorname", r"\newcommand", r"\odd", r"\quad", r"\!",
    r"\texttt", r"\cancel", r"\tag",
])  # fmt: skip


@given(st.lists(SIGNS, max_size=25).map("".join) | st.text(max_size=25), st.booleans())
def test_no_formula_is_too_broken_to_be_written(latex, display):
    tree(latex, display=display)
