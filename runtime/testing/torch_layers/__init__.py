"""Hints for the layers of torch: what their signatures do not say, and what they do not promise."""
