"""Segmenters, which read class labels off images: FCN-8s, saved models, functions, a small FCN."""
