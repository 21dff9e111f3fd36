"""What changed between two compiled specs. Begin to read in `comparison.py`."""
