"""Models on a mesh of ranks: each rank holds its part, and torch's engine does the rest."""
