"""Layers, generators, discriminators, losses: plain functions from tensors to tensors."""
