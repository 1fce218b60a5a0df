"""HTML pages that open from disk: one file each, with one stylesheet. Imports no TensorFlow."""
