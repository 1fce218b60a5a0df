"""Palettes, Lab, image grids, HTML pages. Nothing here imports TensorFlow."""
