"""Paper trading: the journal's own view of an account."""
