"""Preparation of data sets: download, image processing, splits, packing, inspection."""
