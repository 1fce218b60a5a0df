"""The programs, one module each: tools/*.py, the console scripts and `python -m` run them."""
