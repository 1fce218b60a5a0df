"""The programs, one module each, run by tools/*.py, console scripts or `python -m`."""
