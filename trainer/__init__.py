"""Applies the ordered log of steps to one model, with any number of ranks. Read loop.py first."""
