"""The page in a browser: what a reader opens, searches, asks and hears. All tests share one browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.artifact import Artifact
from compiler.drawing.drawing import Drawing
from compiler.drawing.html import html
from compiler.rules.provenance import Provenance

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(artifact: Artifact, drawing: Drawing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "net.html"
    path.write_text(html(replace(drawing, title="</script><b>net"), Provenance(artifact.inferred)))
    return path


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """The page as it is at first; nothing may be fetched, and nothing may go wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.wrong.append(request.url) if "file:" not in request.url else None)
    page.goto(site.as_uri())
    page.wait_for_selector("body[data-ready]")
    yield page
    assert page.wrong == []
    context.close()


def names(page: Any) -> list[str]:
    """Return what the boxes are called, as a screen reader says it."""
    return [each.get_attribute("aria-label") for each in page.query_selector_all("[role=treeitem]")]


def box(page: Any, name: str) -> Any:
    return page.locator(f'[role=treeitem][aria-label^="{name}"]').first


def head(page: Any, name: str) -> Any:
    return box(page, name).locator("> .box")


def test_a_click_opens_and_closes(page: Any) -> None:
    before = names(page)
    assert any(name.startswith("up, Linear(16)") for name in before)
    head(page, "h, repeat").click(position={"x": 20, "y": 10})
    page.wait_for_selector('[aria-label^="h, repeat"][aria-expanded=false]')
    assert len(names(page)) < len(before)
    head(page, "h, repeat").click(position={"x": 20, "y": 10})
    page.wait_for_selector('[aria-label^="h, repeat"][aria-expanded=true]')
    assert names(page) == before
    page.click("#close")
    page.wait_for_selector("[aria-expanded=true]", state="detached")


def test_what_a_screen_reader_hears(page: Any) -> None:
    tree = page.locator("[role=tree]")
    assert tree.get_attribute("aria-label") == "</script><b>net"
    copies = box(page, "2 … 3, Block, 2 copies, 296 parameters")
    assert (copies.get_attribute("aria-level"), copies.get_attribute("aria-expanded")) == ("2", "true")
    assert box(page, "0 … 1, Block, 2 copies, 296 parameters, frozen").count() == 1
    assert page.locator('[role=treeitem][tabindex="0"]').count() == 1
    assert page.locator("#details").get_attribute("aria-live") == "polite"


def focused(page: Any) -> str:
    return str(
        page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id")
    )


def test_all_of_it_by_the_keyboard(page: Any) -> None:
    page.focus("#fit")
    page.keyboard.press("Tab")
    if focused(page) == "picture of the model":  # what scrolls can be focused in Chromium
        page.keyboard.press("Tab")
    assert focused(page).startswith("tokens")
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("embed, Embedding(16, 8)")
    page.keyboard.press("End")
    assert focused(page).startswith("output")
    page.keyboard.press("Home")
    while not focused(page).startswith("h, repeat"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('[aria-label^="h, repeat"][aria-expanded=false]')
    assert focused(page).startswith("h, repeat")
    page.keyboard.press("Enter")
    page.wait_for_selector('[aria-label^="h, repeat"][aria-expanded=true]')
    page.keyboard.press("ArrowRight")
    assert focused(page) == "input"
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("0 … 1, Block")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('[aria-label^="0 … 1"][aria-expanded=false]')
    page.keyboard.press("ArrowLeft")
    assert focused(page).startswith("h, repeat")


def test_a_search_by_selector_marks_and_leads_there(page: Any) -> None:
    page.click("#close")
    page.fill("#selector", "h[-1].down.weight")
    page.keyboard.press("Enter")
    assert page.inner_text("#found") == "0 modules and 1 tensor"
    assert page.locator(".node.around").get_attribute("aria-label").startswith("h, repeat")
    page.click("#details li button")
    page.wait_for_selector('[aria-label^="down, Linear(8)"]')
    assert page.inner_text("#details h2") == "h.3.down.weight"
    assert "normal(std=0.02)" in page.inner_text("#details")
    page.fill("#selector", "Linear")
    page.keyboard.press("Enter")
    assert page.inner_text("#found") == "9 modules and 17 tensors"
    page.fill("#selector", "h[")
    page.keyboard.press("Enter")
    assert "not a selector" in page.inner_text("#found")


def test_a_misspelt_layer_is_offered(page: Any) -> None:
    page.fill("#selector", "Linaer")
    page.keyboard.press("Enter")
    page.click("#details li button:text-is('Linear')")
    assert page.inner_text("#found") == "9 modules and 17 tensors"
    first = page.locator(".hit").first.bounding_box()
    assert first["y"] < 900


def test_the_key_lists_what_is_there(page: Any) -> None:
    texts = page.locator("#details .key span").all_inner_texts()
    assert "frozen" in texts
    assert not any("placed" in text for text in texts)


def test_a_parameter_is_explained(page: Any) -> None:
    head(page, "head, Linear").click(position={"x": 8, "y": 8})
    text = page.inner_text("#details")
    assert "head.weight" in text
    assert "embed.weight" in text
    assert "spec.yaml:" in text
    lost = page.locator("#details tr.overruled")
    assert "overruled" in lost.first.inner_text()


def test_another_copy_can_be_chosen(page: Any) -> None:
    head(page, "2 … 3, Block").click(position={"x": 30, "y": 60})
    assert page.inner_text("#details h2") == "h.2"
    page.select_option("#copy", label="3")
    assert page.inner_text("#details h2") == "h.3"
    assert "h.3.norm.weight" in page.inner_text("#details")


def test_shared_parameters_are_joined(page: Any) -> None:
    assert page.locator("main .tied").count() == 2
    assert page.locator("main .tie title").inner_html() == "shared: embed.weight = head.weight"


@pytest.mark.parametrize("width", [420, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_narrow_and_wide_light_and_dark(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")


def test_a_notebook_shows_it(browser: Any, artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{artifact._repr_html_()}</body>")
    page = browser.new_page()
    page.goto(path.as_uri())
    frame = page.frame_locator('iframe[title="picture of Drawn"]')
    frame.locator('[role=treeitem][aria-label^="embed"]').wait_for()
    page.close()
