"""Records in, pages out: tables, plots and the site.

This room reads records and never runs, trains or scores anything: it must not import torch or a method.
Pages are rebuilt from the records alone, so what a page says can be checked against `results/`.

::

    select         which records count           select(spec, results) → Counted
    studies        the same of the studies       select_studies(spec, files) → CountedStudies
    tables         a board as typed rows         board_tables(name, spec, counted) → [Table]
    pretraining    pre-trained against scratch   compare_inits(spec, counted) → [Comparison]
    summary        the same over all studies     gains(spec, counted) → [Gains]
    provenance     what made the numbers         facts(counted), entry_settings(counted)
    figures, plots SVG with alternative texts    SECTIONS[kind](track name, track, counted) → [Plot]
    robustness     plots of the studies          STUDY_SECTIONS[study](track name, track, counted) → [Plot]
    site           all of it as a page           build_site(spec, results, out, generated=now) → [Path]

Nothing is re-exported here: `reports.console.progress` must not load matplotlib to print a line.
"""
