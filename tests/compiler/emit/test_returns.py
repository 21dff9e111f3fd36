"""What emitted functions return has a type: what a layer gives passes through a value with an annotation."""

from __future__ import annotations

import ast
import textwrap

import pytest

from compiler.emit.passes.returns import name_results


def named(source: str) -> str:
    return ast.unparse(ast.fix_missing_locations(name_results(ast.parse(textwrap.dedent(source)))))


def body(statements: str, arguments: str = "self, x: Tensor") -> str:
    made = named(f"def forward({arguments}) -> Tensor:\n" + textwrap.indent(statements, "    "))
    return textwrap.dedent(made.split("\n", 1)[1])


@pytest.mark.parametrize(
    "value",
    [
        "self.proj(x)",
        "x + self.proj(x)",
        "2 * self.proj(x)",
        "-self.proj(x)",
        "self.layers[0](x)",
        "self.proj(x).flatten(1)",
        "self.proj(x)[:, 0]",
        "rearrange(self.proj(x), 'a b -> b a')",
        "self.proj(x) if self.wide else x",
        "super().forward(x)",
        "x.unflatten(1, [2, 3])",
    ],
)
def test_what_a_layer_gives_is_named(value: str) -> None:
    assert body(f"return {value}") == f"x = {value}\nreturn x"


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "torch.relu(self.proj(x))",
        "F.gelu(self.proj(x))",
        "x.flatten(1)",
        "rearrange(x, 'a b -> b a')",
        "x + self.bias",
        "torch.cat([self.proj(x)])",
        "(self.one(x), self.other(x))",
    ],
)
def test_what_has_a_type_is_returned_as_it_is(value: str) -> None:
    assert body(f"return {value}") == f"return {value}"


def test_a_local_value_has_an_annotation_where_there_is_no_x() -> None:
    assert body("return self.proj(image)", "self, image: Tensor") == (
        "output: Tensor = self.proj(image)\nreturn output"
    )
    assert body("y = self.proj(image)\nreturn y", "self, image: Tensor") == (
        "y = self.proj(image)\noutput: Tensor = y\nreturn output"
    )
    assert body("output = self.proj(image)\nreturn output", "self, image: Tensor").endswith("return output_")


def test_a_name_is_declared_once() -> None:
    text = body("if c:\n    return self.a(y)\nreturn self.b(y)", "self, y: Tensor")
    assert (
        text == "if c:\n    output: Tensor = self.a(y)\n    return output\noutput = self.b(y)\nreturn output"
    )


def test_names_of_layers_in_loops_and_what_they_give() -> None:
    text = "for layer in self.layers:\n    y = layer(y)\nreturn y"
    assert body(text, "self, y: Tensor") == text
    assert body(
        "z = 0\nfor layer in self.layers:\n    z = layer(y)\nreturn layer(z)", "self, y: Tensor"
    ).endswith("output: Tensor = layer(z)\nreturn output")


def test_a_function_of_the_file_says_what_it_returns() -> None:
    source = "def make() -> Tensor:\n    return torch.ones(1)\n\ndef other() -> Tensor:\n    return make()"
    assert named(source) == source


def test_what_is_returned_in_another_mode_is_in_the_annotation() -> None:
    source = """
        def forward(self, x: Tensor) -> Tensor:
            first = self.aux(x) if self.training else None
            if self.training:
                return (x, first)
            return x
    """
    assert "-> Tensor | tuple[Tensor, Tensor | None]:" in named(source)
