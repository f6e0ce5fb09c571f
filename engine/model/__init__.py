"""The network, what it learns from, its training month by month, and the registry."""
