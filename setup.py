"""Builds the package from what pyproject.toml says, where no newer tool does."""

from setuptools import setup

setup()
