"""The studies: what is measured, OOD detection first, a folder each.

`benchmark.studies.settings` and `benchmark.studies.study` are the contract; `registry` finds the folders.
"""
