"""Images as NumPy arrays: palettes, CIE Lab, grids, plots. Imports no TensorFlow."""
