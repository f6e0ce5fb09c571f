"""Run folders, statistics and the tear-sheet."""
