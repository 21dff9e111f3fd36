"""A kit of property tests for layers, and the Hypothesis strategies that it draws from."""
