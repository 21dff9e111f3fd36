"""What no source may name, whoever wrote it: the resolver refuses it in a spec, the verifier in what is emitted."""

from __future__ import annotations

UNSAFE_ATTRIBUTES = frozenset({"format", "format_map", "mro"})
"""Attributes that reach others by their name in a text."""
