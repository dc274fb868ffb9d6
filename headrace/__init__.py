"""Headrace: a live stream of text in, a language model that keeps learning from it out."""

__version__ = "0.1.0"
