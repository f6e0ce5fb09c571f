"""End-of-day arrays, session x asset, memory-mapped: one format for zipline, the pipeline and the trainer."""
