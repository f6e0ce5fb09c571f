"""``ashare data sync``: from the vendor into the lake, resumable, all of a stretch or nothing."""
