"""From scores to orders: selection, sizing, targets. Pure functions, no zipline, no files, no clock."""
