"""What layers are expected to do, as functions that refuse an example: one module for each kind."""
