"""The device a graph runs on, and how TensorFlow is imported."""
