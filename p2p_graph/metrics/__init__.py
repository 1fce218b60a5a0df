"""Image metrics, one file each, and their registry. Imports no TensorFlow."""
