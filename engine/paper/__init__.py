"""Paper trading: one session at a time, everything of consequence in an append-only journal."""
