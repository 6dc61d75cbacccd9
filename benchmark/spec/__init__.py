"""leaderboard.yaml as typed models: an error names file, line and key."""
