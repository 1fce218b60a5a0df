"""Trains a network that labels the pixels of photos."""
