"""Placement: which device each part of a model is on, and where values move between devices."""
