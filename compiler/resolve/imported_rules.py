"""The rules of a file that is imported: they come along with the blocks that it defines.

They follow the rules of the block itself, as those of a spec follow those of its blocks, and what stands around the
block in the importing file comes after both.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from compiler.program import Definition, Scope
from compiler.resolve.values import free_names
from compiler.rule_records import InitRule, Rules, SelectorRule, ShareGroup
from spec_schema.grammar import Expression
from spec_schema.selectors import Selector
from spec_schema.walk import walk

CHECKPOINT = "checkpoint"


def with_rules_of_file(definition: Definition, source: Scope) -> Definition:
    """Return a block as other files import it: with the rules of the file that defines it, the same one for all."""
    if definition.scope is not source or source.rules is None:
        return definition
    if definition not in source.imported:
        own, more = definition.rules, _come_along(definition, source, source.rules)
        if not (more.init or more.share or more.freeze):
            return definition
        rules = Rules(
            (*own.init, *more.init), (*own.share, *more.share), (*own.freeze, *more.freeze), own.placement
        )
        source.imported[definition] = replace(definition, rules=rules)
    return source.imported[definition]


def _come_along(definition: Definition, source: Scope, rules: Rules) -> Rules:
    """Return the rules of a file that may be about one of its blocks: none that begins at the root of its model."""
    hidden = {*definition.variables, *(parameter.name for parameter in definition.parameters)}
    values = {name: source.variables[name] for name in hidden & source.variables.keys()}
    return Rules(
        tuple(_init(each, values) for each in rules.init if _is_free(each.selector) and not _loads(each)),
        tuple(_group(each) for each in rules.share if all(_is_free(s.selector) for s in each.selectors)),
        tuple(replace(each, imported=True) for each in rules.freeze if _is_free(each.selector)),
    )


def _is_free(selector: Selector) -> bool:
    return not selector.anchored


def _loads(rule: InitRule) -> bool:
    """Return whether a rule reads a checkpoint, which is one of the model that the file has."""
    return CHECKPOINT in {n.id for n in walk(rule.value.tree) if isinstance(n, ast.Name)}


def _init(rule: InitRule, values: Mapping[str, object]) -> InitRule:
    """Return a rule that sees the variables of its file, also where an argument of the block bears such a name."""
    hidden = free_names(rule.value) & values.keys()
    value = _fixed(rule.value, {name: values[name] for name in hidden}) if hidden else rule.value
    return replace(rule, value=value, imported=True)


def _group(group: ShareGroup) -> ShareGroup:
    selectors: tuple[SelectorRule, ...] = tuple(replace(each, imported=True) for each in group.selectors)
    return replace(group, selectors=selectors)


class _Fixed(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.values:
            return node
        made = ast.parse(repr(self.values[node.id]), mode="eval").body
        for each in walk(made):
            ast.copy_location(each, node)
        return made


def _fixed(expression: Expression, values: Mapping[str, object]) -> Expression:
    """Return an expression with values in the place of names."""
    tree: ast.expr = _Fixed(values).visit(ast.parse(str(expression), mode="eval").body)
    for each in walk(tree):
        ast.copy_location(each, expression.tree)
    return expression.part(tree)
