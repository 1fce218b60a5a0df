"""The programs: one module each, run by tools/*.py, the console scripts and `python -m`."""
