"""tools/test.py: a folder of images is translated into a folder of results."""
