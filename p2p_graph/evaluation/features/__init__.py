"""Distances between sets of images by a network's features: FID, KID and their like."""
