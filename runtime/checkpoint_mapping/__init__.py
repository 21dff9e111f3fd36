"""Checkpoint surgery, done: somebody else's safetensors files read, and written back in their names."""
