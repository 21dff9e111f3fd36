"""The names of dimensions, carried along while a model runs over example sizes."""
