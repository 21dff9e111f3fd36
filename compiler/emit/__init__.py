"""Emission: from states to plain PyTorch classes, built as `ast` nodes."""
