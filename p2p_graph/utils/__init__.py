"""Errors, atomic writes, file locks, signals, standard streams. No TensorFlow."""
