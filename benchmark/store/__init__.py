"""The content-addressed store of artifacts, and the fingerprints that its keys are made of."""
