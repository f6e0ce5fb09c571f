"""The ``ashare`` command."""
