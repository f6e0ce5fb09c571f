"""Data in: vendor and files into the lake, the lake into zipline bundles, and the demo market."""
