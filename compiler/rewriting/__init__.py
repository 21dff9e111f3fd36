"""Specs that are rewritten: other forms of their calls, other values and names. Each is compiled first."""
