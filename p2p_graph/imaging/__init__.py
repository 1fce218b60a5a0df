"""Images as NumPy arrays: palettes, CIE Lab, grids, plots, HTML pages. Imports no TensorFlow."""
