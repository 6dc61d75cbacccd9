"""The sections of the studies, in the order in which the page has them.

This module must not know what a section shows.
"""

from __future__ import annotations

from reports.studies.adversarial import ADVERSARIAL
from reports.studies.corruptions import CORRUPTIONS
from reports.studies.labels import IMBALANCE, LABEL_NOISE

STUDY_SECTIONS = (ADVERSARIAL, CORRUPTIONS, LABEL_NOISE, IMBALANCE)
