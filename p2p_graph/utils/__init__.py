"""Errors, atomic writes, file locks, signals. No TensorFlow."""
