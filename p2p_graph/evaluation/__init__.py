"""Metrics over folders of translated images, and their reports."""
