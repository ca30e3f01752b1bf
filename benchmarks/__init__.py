"""Measurements beside other tools; each script runs by itself, `make bench` runs all."""
