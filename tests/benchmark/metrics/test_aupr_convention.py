"""Which area under the precision-recall curve AUPR is, and that it is said (case L16)."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve

from benchmark.metrics import DetectionMetrics, detection_metrics


def test_l16_aupr_is_average_precision_and_not_trapezoids():
    truth, scores = [1] * 5 + [0] * 5, np.zeros(10)
    found = detection_metrics(scores[:5], scores[5:])
    precision, recall, _ = precision_recall_curve(truth, scores)
    assert found.aupr_in == pytest.approx(average_precision_score(truth, scores)) == 0.5
    assert auc(recall, precision) == pytest.approx(0.75)  # what OpenOOD and pytorch-ood report


def test_l16_the_docstring_says_so():
    assert "average precision" in (DetectionMetrics.__doc__ or "")
    assert "trapezoids" in (DetectionMetrics.__doc__ or "")
