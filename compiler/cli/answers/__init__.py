"""Answers: what a verb printed for a spec, kept for the next call of the same verb for the same spec.

Begin to read in `call.py`. Nothing here imports torch, or any part of the compiler.
"""
