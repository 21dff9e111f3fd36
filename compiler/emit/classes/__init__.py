"""One class of the emitted file: each part of its source is in a file of its own. `emitter.py` puts them together."""
