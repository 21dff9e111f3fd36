"""The command line: the composition root, and the one place in the compiler that may use the runtime.

One file per verb. A verb imports `runtime` and torch inside its function, so that help and early errors are quick.
"""
