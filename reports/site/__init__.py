"""The pages: HTML and Markdown, readable from disk and offline."""
