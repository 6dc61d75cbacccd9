import pytest


@pytest.fixture
def edited(small):
    """Replace a passage of the small leaderboard, the first time that it occurs."""

    def edit(old, new):
        text = small.read_text()
        assert old in text, f"the small leaderboard has no {old!r} any more"
        small.write_text(text.replace(old, new, 1))
        return small

    return edit
