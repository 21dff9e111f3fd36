"""The JSON Schema of the language, for editors that know nothing of it. Begin to read in `language.py`."""
