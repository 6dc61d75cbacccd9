"""The studies: what is measured of networks besides OOD detection, a folder each.

`benchmark.studies.settings` and `benchmark.studies.study` are the contract; `registry` finds the folders.
"""
