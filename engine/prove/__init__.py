"""The product checks itself against what does not come from it."""
