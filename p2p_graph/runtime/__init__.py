"""The device of a graph, and the import of TensorFlow."""
