"""Records in, pages out: tables, plots and the site.

This room reads records and never runs, trains or scores anything: it must not import torch or a method.
Pages are rebuilt from the records alone, so what a page says can be checked against `results/`.

::

    select             which records count          select(spec, results) → Counted
    studies.select     the same of the studies      select_studies(spec, files) → CountedStudies
    studies.numbers    what a study's come to       numbers_of(study).derived(row) → Numbers
    boards             tables, and their sections   board_tables(name, spec, counted) → [Table]
    plots, studies     sections of plots            PlotSection(…).section(spec, counted) → Section | None
    claims             claims, decided and shown    claims_page(register, spec, counted, …) → Page
    site.sections      a page as data               Page, Section, Table, Plot, …
    site.html          the same as HTML             html_of(page) → str
    site.markdown      the same as Markdown         markdown_of(page) → str
    site.build         all of it as files           build_site(spec, results, out, generated=now) → [Path]
    site.publish       the same, where it is new    publish(spec, folder, out) → [Path]
    console            what a terminal shows        listings, cards, progress, summaries
    console.cli        the command line             app

A new part of a page is one function that returns a `Section`, and its place in `site.leaderboard`.
Nothing is re-exported here: `reports.console.progress` must not load matplotlib to print a line.
"""
