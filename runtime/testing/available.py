"""The first module that the package imports: it refuses where Hypothesis is not installed, and says how to get it."""

from compiler.extras import TESTING

TESTING.require()
