"""Records in, pages out: tables, plots and the site.

This room reads records and never runs, trains or scores anything: it must not import torch or a method.
Pages are rebuilt from the records alone, so what a page says can be checked against `results/`.
"""

from reports.figures import Plot
from reports.pretraining import Comparison, compare_inits
from reports.selection import Selection, select
from reports.site import build_site
from reports.tables import Table, board_table

__all__ = [
    "Comparison",
    "Plot",
    "Selection",
    "Table",
    "board_table",
    "build_site",
    "compare_inits",
    "select",
]
