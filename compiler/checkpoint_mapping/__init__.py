"""Checkpoint surgery: the tensors of somebody else's file -> those of a model, and back. Reads no file."""
