import pytest
from command_line import Command
from small_leaderboard import SMALL


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    return Command(monkeypatch, capsys, tmp_path)
