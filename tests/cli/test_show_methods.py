"""What `oodbench show` says of methods: text that reads well, whatever the docstrings are written in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_leaderboard import SMALL

from benchmark.spec.load import load_spec
from methods import registry
from reports.console.catalog import cards
from reports.console.docstrings import plain_text, read_docstring
from reports.console.formulas import formula_lines, formula_text
from reports.console.listings import Card

METHODS = [(family, name) for family in registry.FAMILIES for name in registry.family(family)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "leaderboard.yaml"
    path.write_text(SMALL)
    return load_spec(path)


def shown(name, spec, kind="Detector") -> Card:
    return next(card for card in cards(name, spec) if card.kind == kind)


def test_u4_no_method_is_shown_with_markup_and_every_hyperparameter_is_explained(spec):
    assert len(METHODS) > 75
    for family, name in METHODS:
        kind = family.capitalize().removesuffix("s").replace("_", " ")
        card = shown(name, spec, kind)
        meanings = [row[2] for listing in card.listings for row in listing.rows]
        assert all(meanings), name
        text = "\n".join([*(block.text for block in card.blocks), *meanings])
        assert not re.search(r"\\|:[a-z]+:`|`|\.\. |\*\*|---|[\t\v]|  +\S", text.replace("    or", "")), name
        assert not re.search(r"\b(frac|mathrm|lVert|qquad|begin|end\{|cases|left|text)\b", "".join(
            block.text for block in card.blocks if block.formula
        )), name  # fmt: skip
        for block in card.blocks:
            if block.formula:
                assert all(block.text.count(a) == block.text.count(b) for a, b in ("()", "{}", "⟨⟩", "⌊⌋"))


def test_u4_a_card_says_paper_link_source_entries_and_needs(spec):
    card = shown("knn", spec)
    assert card.blocks[0].text.startswith("Distance to the k-th nearest training image")
    assert card.facts["Link"] == "https://arxiv.org/abs/2204.06507"
    assert card.facts["Paper"].endswith("ICML 2022")
    assert card.facts["Source"].endswith("methods/detectors/knn.py")
    assert card.facts["Entries"] == ["knn"]
    assert card.facts["Needs"] == ["penultimate"]
    assert any("Cost: O(NMD)" in block.text for block in card.blocks)
    (settings,) = card.listings
    assert [row[0] for row in settings.rows] == ["k"]


def test_u4_studies_that_use_an_attack_are_named():
    from benchmark.spec.shipped import find_leaderboard

    card = shown("fgsm", load_spec(find_leaderboard(None)), "Attack")
    assert "adversarial on digits" in card.facts["Studies"]


@pytest.mark.parametrize(
    ("latex", "text"),
    [  # the right-hand sides are written by hand
        (r"s = T \log \sum_k \exp(z_k / T)", "s = T log ∑ₖ exp(zₖ / T)"),
        (r"\frac{1}{N} \sum_i h_i", "(1/N) ∑ᵢ hᵢ"),
        (r"s = \sigma(d) = \frac{1}{1 + e^{-d}}", "s = σ(d) = 1/(1 + e⁻ᵈ)"),
        (r"\frac{a + b}{2 c}", "(a + b)/(2 c)"),
        (r"\frac1K \sum_k z_k", "(1/K) ∑ₖ zₖ"),
        (r"\frac{p}{|G(i)| - 1}", "p/(|G(i)| - 1)"),
        (r"\log \frac{1 - P_0}{P_0}", "log ((1 - P₀)/P₀)"),
        (r"d_c^2(h)", "d²_c(h)"),
        (r"\hat y = \arg\max_k z_k", "ŷ = arg maxₖ zₖ"),
        (r"\lVert \hat h - \hat h_{(k)} \rVert_2", "‖ĥ - ĥ₍ₖ₎‖₂"),
        (r"\Sigma_0^{+} + \lambda I", "Σ₀⁺ + λ I"),
        (r"\overline{v_1}", "v̄₁"),
        (r"\bar\delta_l", "δ̄ₗ"),
        (r"s_\mathrm{max}", "s_max"),
        (r"w_{y_i}", "w_yᵢ"),
        (r"\max_{j \ne y} z_j", "max_{j ≠ y} zⱼ"),
        (r"F \in \mathbb{R}^{D \times S}", "F ∈ ℝ^{D × S}"),
        (r"h = \begin{cases} 0 & x < a \\ x & \text{else} \end{cases}", "h = { 0 for x < a; x for else }"),
        (r"\left(\frac{d}{\lambda_k}\right)^{\kappa_k}", "(d/λₖ)^κₖ"),
        (r"\tfrac12 \min_c d", "(1/2) min_c d"),
        (r"\unknowncommand{x}", "unknowncommand x"),
        ("\\", ""),
        (r"\frac{1}{2}\text{}", "1/2"),
    ],
)
def test_u4_latex_is_written_in_unicode(latex, text):
    import unicodedata

    assert formula_text(latex) == unicodedata.normalize("NFC", text)


def test_u4_an_equation_a_line():
    latex = r"""
        x &= h / 2, \qquad p = 1, \quad q = 2 \\
        s &= a \\
          &= b \quad \text{for } i < n"""
    assert formula_lines(latex) == ["x = h / 2", "p = 1", "q = 2", "s = a", "    = b for i < n"]


def test_u4_sections_roles_and_literals_are_read():
    doc = read_docstring(
        """Title with `name` (A & B 2020).

        .. math:: s = x_i

        where :math:`x_i` is ``a``, **not** b.

        Parameters
        ----------
        low, high
            In
            units.
        other : int
            More.

        The rest.
        """
    )
    assert doc.summary == "Title with name (A & B 2020)."
    assert [block.text for block in doc.body] == ["s = xᵢ", "where xᵢ is a, not b.", "The rest."]
    assert [block.formula for block in doc.body] == [True, False, False]
    assert doc.parameters == {"low": "In units.", "high": "In units.", "other": "More."}
    assert read_docstring(None) == ("", (), {})
    assert plain_text(":class:`~methods.base.Detector` a") == "methods.base.Detector a"


@given(st.text(alphabet="\\{}_^&abfracsum lt()[].~'\n\t", max_size=40))
def test_u4_no_formula_is_too_broken_to_be_written(latex):
    assert all("\n" not in line for line in formula_lines(latex))
    formula_text(latex)
    read_docstring(f"Title.\n\n.. math:: {latex}\n")
