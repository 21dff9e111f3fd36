"""The pass that names what is inside of layers: attributes where the class of the layer is known, and only there."""

from __future__ import annotations

import ast

import pytest

from compiler.emit.passes.members import name_members

SOURCE = """
class Pair(nn.Module):

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3) if wide else nn.Identity()

class Row(nn.Sequential):

    def __init__(self):
        super().__init__(nn.Linear(3, 3))

class Model(nn.Module):

    def __init__(self):
        super().__init__()
        self.pair = Pair()
        self.row = Row()
        self.rows = nn.ModuleList([Pair()])

    def forward(self, x):
        return {0}"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.pair.get_submodule('a')(x)", "self.pair.a(x)"),
        ("self.pair.get_parameter('a.weight')", "self.pair.a.weight"),
        ("self.pair.get_parameter('scale')", "self.pair.scale"),
        ("self.pair.get_submodule('b')(x)", "self.pair.get_submodule('b')(x)"),
        ("self.pair.get_parameter('b.weight')", "self.pair.get_parameter('b.weight')"),
        ("self.pair.get_submodule('a.inner')(x)", "self.pair.a.get_submodule('inner')(x)"),
        ("self.row.get_submodule('0')(x)", "self.row.get_submodule('0')(x)"),
        ("self.rows[0].get_submodule('a')(x)", "self.rows[0].get_submodule('a')(x)"),
        ("self.pair.get_submodule('scale')(x)", "self.pair.get_submodule('scale')(x)"),
    ],
)
def test_what_is_named(before: str, after: str) -> None:
    made = ast.unparse(name_members(ast.parse(SOURCE.replace("{0}", before))))
    assert made == SOURCE.replace("{0}", after).strip()
