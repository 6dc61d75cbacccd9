"""How numbers are written on the pages."""

from __future__ import annotations


def fixed(number: float, *, percent: bool = True, digits: int | None = None) -> str:
    """A number in the unit of the pages: a share ×100 with two decimals, another with three, or as said."""
    after = digits if digits is not None else 2 if percent else 3
    text = f"{100 * number if percent else number:.{after}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def signed(number: float, *, percent: bool = True, digits: int | None = None) -> str:
    """The same with its sign, but for zero."""
    text = fixed(number, percent=percent, digits=digits)
    return text if text.startswith("−") or not float(text) else f"+{text}"


def p_value(number: float | None) -> str | None:
    """A p value; None stays None."""
    if number is None:
        return None
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def effect(number: float) -> str:
    """A standardised effect; infinite where the seeds do not differ at all."""
    return f"{number:+.2f}".replace("-", "−").replace("inf", "∞")
