"""One file a metric, and their registry. Nothing here imports TensorFlow."""
