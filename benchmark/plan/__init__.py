"""From what a leaderboard asks for to jobs, each with a content key. Nothing is computed here."""
