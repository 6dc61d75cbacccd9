"""The harness: from leaderboard.yaml to records. It must not know how records are shown (`reports`)."""
