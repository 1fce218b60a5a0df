"""Metrics over folders of images, and their reports."""
