"""Pictures of a model: as a page, as SVG and as Mermaid. Begin to read in `drawing.py`."""
