"""Making data sets ready: download, image processing, splits, packing, checks."""
