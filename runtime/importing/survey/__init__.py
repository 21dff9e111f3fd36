"""How much of a library of models can be imported: each model tried in a process of its own, and a table of it all."""
