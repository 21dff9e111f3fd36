"""The names of layers, written or made by a template, and those that no layer may bear."""

from __future__ import annotations

import re

from compiler.catalogue.unsafe import UNSAFE_ATTRIBUTES, private_attributes
from compiler.program import NameTemplate
from spec_schema.diagnostics import Diagnostic, refuse
from spec_schema.grammar import Expression, parse_expression
from spec_schema.keys import key_problem
from spec_schema.names import name_problem
from spec_schema.reader import Scalar
from spec_schema.source import Span

TEMPLATE = re.compile(r"\{([^{}]*)\}")


def read_template(scalar: Scalar) -> NameTemplate:
    """Read `denselayer{index + 1}`."""
    parts: list[str | Expression] = []
    at = 0
    for match in TEMPLATE.finditer(scalar.text):
        if match.start() > at:
            parts.append(scalar.text[at : match.start()])
        parts.append(parse_expression(scalar, match.start(1), match.end(1)))
        at = match.end()
    if at < len(scalar.text):
        parts.append(scalar.text[at:])
    if not any(isinstance(part, Expression) for part in parts):
        raise refuse(
            "bad-name",
            "every copy would have the same name",
            scalar.span,
            help=f"number the copies: `{scalar.text}{{index}}`",
        )
    return NameTemplate(tuple(parts), scalar.span)


def check_layer_name(name: str, place: Span, holder: str = "Module") -> list[Diagnostic]:
    """Return what is wrong with the name of a parameter or buffer in a class of torch.nn."""
    problem = name_problem(name, place)
    return [problem] if problem else _reserved(name, place, holder)


def check_layer_key(
    key: str, place: Span, holder: str = "Module", is_named: bool = False
) -> list[Diagnostic]:
    """Return what is wrong with the key of a layer in a class of torch.nn."""
    problem = key_problem(key, place, is_named=is_named)
    return [problem] if problem else _reserved(key, place, holder)


def _reserved(name: str, place: Span, holder: str) -> list[Diagnostic]:
    if name in UNSAFE_ATTRIBUTES:
        message = f"`{name}` reaches other attributes by a text, and the source has no attribute of that name"
        return [Diagnostic("reserved-name", message, place, help=f"name it `{name}_layer`")]
    private = name.startswith("_") and name in private_attributes()
    if private or name in OF_CONTAINERS.get(holder, ()) or name in MODULE_ATTRIBUTES:
        owner = holder if name in OF_CONTAINERS.get(holder, ()) else "Module"
        return [
            Diagnostic(
                "reserved-name",
                f"`{name}` is an attribute of every `nn.{owner}`",
                place,
                help=f"name it `{name.strip('_')}_layer`",
            )
        ]
    return []


MODULE_ATTRIBUTES = frozenset(
    "T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches "
    "eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu "
    "load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters "
    "register_backward_hook register_buffer register_forward_hook register_forward_pre_hook "
    "register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook "
    "register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook "
    "register_state_dict_pre_hook requires_grad_ reset_parameters set_extra_state set_submodule share_memory "
    "state_dict to to_empty "
    "train training type xpu zero_grad".split()
)
"""The public attributes of `nn.Module`, which no layer may bear, and the method that gives a class its first values.

A test compares them with torch's."""
OF_CONTAINERS = {
    "Sequential": frozenset("append extend insert pop".split()),
    "ModuleDict": frozenset("clear items keys pop update values".split()),
}
"""Those that its containers have beside, which no item of theirs may bear."""
NOT_OF_VALUES = MODULE_ATTRIBUTES.union(UNSAFE_ATTRIBUTES, *OF_CONTAINERS.values())
"""The attributes that no value of a block has, whatever its class."""
