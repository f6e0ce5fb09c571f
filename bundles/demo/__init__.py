"""The demo market: synthetic, seeded, with a planted and stated alpha, or with none."""
