"""Passes over the tree of an emitted file: each makes one thing read as written by hand, and changes no result."""
