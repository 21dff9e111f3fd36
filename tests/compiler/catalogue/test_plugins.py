"""Plugins: what the decorators refuse, what loading collects, and that nothing is global."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from compiler import plugins as public
from compiler.catalogue.decorators import (
    Registration,
    dataset,
    initializer,
    layer,
    operation,
    parametrization,
)
from compiler.catalogue.layers import infer, positional
from compiler.catalogue.plugins import PluginError, Registry, load_plugin

SOURCE = """
import torch
from torch import nn
from compiler.plugins import dataset, initializer, layer, operation

{extra}

@layer
class Scale(nn.Module):
    '''Multiplies by a learned number per feature.'''
    def __init__(self, in_features: int, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((in_features,), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight

class NotRegistered(Scale):
    pass

@layer("Widen", infer={{"width": "x.shape[1]"}})
class _Other(nn.Module):
    def __init__(self, width: int, factor: int) -> None:
        super().__init__()

@operation
def swiglu(x: torch.Tensor, limit: float = 7.0) -> torch.Tensor:
    return x

@initializer("ramp")
def _ramp(shape: list[int], top: float = 1.0) -> torch.Tensor:
    return torch.linspace(0, top, shape[-1]).expand(shape)

@dataset
class Digits:
    pass
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_plugin(source: str = SOURCE.format(extra=""), name: str = "mine.py") -> str:
        path = tmp_path / name
        path.write_text(source, "utf-8")
        return str(path)

    return write_plugin


def test_a_file_is_loaded_with_all_that_it_registers(write: Callable[..., str]) -> None:
    reference = write()
    plugin = load_plugin(reference)
    assert plugin.name == "mine"
    assert set(plugin.layers) == {"Scale", "Widen"}
    assert set(plugin.operations) == {"swiglu"}
    assert set(plugin.initializers) == {"ramp"}
    assert set(plugin.datasets) == {"Digits"}
    assert plugin.layers["Scale"].source == reference
    assert plugin.operations["swiglu"](3) == 3


def test_a_registered_layer_has_inferred_sizes(write: Callable[..., str]) -> None:
    plugin = load_plugin(write())
    scale, widen = plugin.layers["Scale"], plugin.layers["Widen"]
    assert infer(scale, {}, [torch.ones(2, 5)]) == {"in_features": 5}
    assert infer(widen, {}, [torch.ones(2, 5, 7)]) == {"width": 5}
    assert [each.name for each in positional(widen)] == ["factor"]


def test_a_module_may_name_itself(write: Callable[..., str]) -> None:
    assert load_plugin(write(SOURCE.format(extra="NAME = 'acoustics'"))).name == "acoustics"
    with pytest.raises(PluginError, match="NAME is no text"):
        load_plugin(write(SOURCE.format(extra="NAME = 3")))


def test_a_changed_file_is_loaded_anew(write: Callable[..., str]) -> None:
    first = load_plugin(write())
    second = load_plugin(
        write(SOURCE.format(extra="") + "\n@operation\ndef late(x: int) -> int:\n    return x\n")
    )
    assert "late" not in first.operations
    assert "late" in second.operations


def test_a_module_is_loaded_by_name(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(name="blockprint_test_module.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert set(load_plugin("blockprint_test_module").layers) == {"Scale", "Widen"}
    finally:
        sys.modules.pop("blockprint_test_module", None)


def test_an_entry_point_is_loaded_by_its_name(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(name="blockprint_test_entry.py")
    info = tmp_path / "demo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[blockprint.plugins]\ndemo-plugin = blockprint_test_entry\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    try:
        assert load_plugin("demo-plugin").name == "blockprint_test_entry"
    finally:
        sys.modules.pop("blockprint_test_entry", None)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (", "does not load: SyntaxError"),
        ("1 / 0", "does not load: ZeroDivisionError"),
        ("x = 3", "registers nothing"),
        (
            "from compiler.plugins import operation\n@operation\ndef f(x) -> int: ...",
            "does not load: TypeError: operation f: 'x' needs an annotation",
        ),
        (
            "from compiler.plugins import operation\n@operation('f')\ndef g(x: int) -> int: ...\n"
            "@operation('f')\ndef h(x: int) -> int: ...",
            "two operations called f",
        ),
    ],
)
def test_a_broken_plugin_says_what_is_wrong(write: Callable[..., str], source: str, message: str) -> None:
    reference = write(source)
    with pytest.raises(PluginError, match=message):
        load_plugin(reference)


def test_a_broken_file_leaves_no_module_behind(write: Callable[..., str]) -> None:
    before = set(sys.modules)
    with pytest.raises(PluginError):
        load_plugin(write("1 / 0"))
    assert not [name for name in set(sys.modules) - before if "blockprint_plugin" in name]


@pytest.mark.parametrize("reference", ["no/such/file.py", "no_such_module_here", ""])
def test_a_plugin_that_is_not_there(reference: str) -> None:
    with pytest.raises(PluginError):
        load_plugin(reference)


def module_class(**annotations: Any) -> type[nn.Module]:
    class Given(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()

    return Given


class Unannotated(nn.Module):
    def __init__(self, width) -> None:  # type: ignore[no-untyped-def]
        super().__init__()


class Starred(nn.Module):
    def __init__(self, *widths: int) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("decorate", "target", "message"),
    [
        (layer, dict, "is for subclasses of torch.nn.Module"),
        (layer, len, "is for subclasses of torch.nn.Module"),
        (layer, Unannotated, "'width' needs an annotation"),
        (layer, Starred, "write out the arguments behind"),
        (layer("lower"), module_class(), "upper-case"),
        (layer("Ünicode"), module_class(), "upper-case"),
        (layer("A" * 65), module_class(), "at most 64"),
        (layer(infer={"height": "x.shape[0]"}), module_class(), "'height', which is no argument"),
        (layer(infer={"width": "open('f')"}), module_class(), "no size of an input"),
        (operation, dict, "is for functions"),
        (operation("Upper"), lambda: 0, "lower case"),
        (operation, lambda: 0, "lower case"),
        (operation("fine"), lambda x: x, "'x' needs an annotation"),
        (initializer("fine"), lambda x: x, "'x' needs an annotation"),
        (dataset("a b"), dict, "ASCII identifier"),
        (dataset("ok"), 3, "is for classes and functions"),
    ],
)
def test_decorators_refuse_what_a_spec_cannot_use(
    decorate: Callable[[Any], Any], target: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        decorate(target)


def test_decorators_return_what_they_mark() -> None:
    @layer
    class Plain(nn.Module):
        """Takes nothing: it has no ``__init__`` of its own."""

    @operation("other_name")
    def function(x: torch.Tensor) -> torch.Tensor:
        return x

    assert isinstance(Plain(), nn.Module)
    assert vars(Plain)["__blockprint__"] == Registration("layer", "Plain")
    assert vars(function)["__blockprint__"].name == "other_name"
    assert function(torch.ones(1)) == 1


def test_the_public_module_has_the_decorators() -> None:
    assert (public.layer, public.operation) == (layer, operation)
    assert (public.initializer, public.dataset) == (initializer, dataset)
    assert public.parametrization is parametrization


def one(kind: str, name: str) -> str:
    body = {
        "layer": "class Thing(torch.nn.Module): ...",
        "operation": "def thing(x: int) -> int: ...",
        "initializer": "def thing(x: int) -> int: ...",
        "dataset": "class Thing: ...",
    }[kind]
    return f"import torch\nfrom compiler.plugins import {kind}\n@{kind}('{name}')\n{body}\n"


def test_a_registry_holds_what_all_plugins_register(write: Callable[..., str]) -> None:
    registry = Registry()
    registry.add(load_plugin(write(one("layer", "Mine"), "a.py")))
    registry.add(load_plugin(write(one("operation", "mine"), "b.py")))
    assert set(registry.plugins) == {"a", "b"}
    assert set(registry.layers) == {"Mine"}
    assert set(registry.operations) == {"mine"}
    assert Registry().layers == {}


@pytest.mark.parametrize(
    ("kind", "name", "owner"),
    [
        ("layer", "Linear", "torch's"),
        ("operation", "relu", "torch's"),
        ("initializer", "normal", "torch's"),
        ("layer", "Mine", "another plugin's"),
        ("operation", "mine", "another plugin's"),
        ("initializer", "mine", "another plugin's"),
        ("dataset", "Mine", "another plugin's"),
    ],
)
def test_a_plugin_takes_no_name_that_is_taken(
    write: Callable[..., str], kind: str, name: str, owner: str
) -> None:
    registry = Registry()
    if owner != "torch's":
        registry.add(load_plugin(write(one(kind, name), "first.py")))
    before = (dict(registry.layers), dict(registry.operations), list(registry.plugins))
    with pytest.raises(PluginError, match=owner):
        registry.add(load_plugin(write(one(kind, name), "second.py")))
    assert before == (registry.layers, registry.operations, list(registry.plugins))


def test_two_plugins_of_one_name(write: Callable[..., str]) -> None:
    registry = Registry()
    plugin = load_plugin(write())
    registry.add(plugin)
    with pytest.raises(PluginError, match="two plugins are called mine"):
        registry.add(plugin)
