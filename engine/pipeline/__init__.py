"""End-of-day datasets, their loader, the universe and the factors, as zipline pipeline terms."""
