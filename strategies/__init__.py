"""Strategies: zipline scripts, from the smallest to the flagship."""
