"""All uses of tools, in the order of docs/tools.md: importing a module registers those that are in it."""

from tests.tools import graphs, copies, changes  # noqa: F401, I001 - in the order of the table
from tests.tools.kit import TOOLS, Tool

__all__ = ["TOOLS", "Tool"]
