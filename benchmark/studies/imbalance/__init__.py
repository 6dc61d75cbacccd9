"""Class imbalance: networks trained on a long tail."""
