"""Rules applied: selectors resolved over the table of parameters, once."""
