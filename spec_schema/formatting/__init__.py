"""The canonical form of a spec's text: what `fmt` writes. Begin to read in `canonical_form.py`."""
