"""Label noise: networks trained on labels of which some are wrong."""
