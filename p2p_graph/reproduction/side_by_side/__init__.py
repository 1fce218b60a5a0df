"""Rows that run at the same time: their devices, programs, logs and progress."""
