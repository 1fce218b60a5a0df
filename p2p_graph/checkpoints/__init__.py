"""Checkpoints: finding, restoring, saving, variable names, conversion."""
