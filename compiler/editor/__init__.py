"""What an editor asks of a spec while somebody types. Begin to read in `document.py`."""
