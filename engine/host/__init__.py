"""The glue: where zipline is extended from outside, never forked."""
