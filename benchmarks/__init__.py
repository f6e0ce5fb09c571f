"""Benchmarks: the reference workload and what it runs on."""
