"""Shapes: a program interpreted over tensors of torch's meta device, which have shapes and no values."""
