"""Records: what was measured, and how records are read, compared, merged and written."""
