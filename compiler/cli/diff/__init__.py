"""`diff`: what changed between two specs, saved models or revisions. Begin to read in `verb.py`."""
