"""Images that are broken, too large or of different sizes, and folders without any: one located reason."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.training.images import decoded
from runtime.training.places import Named
from spec_schema.diagnostics import SpecError
from spec_schema.source import SourceFile, Span
from tests.runtime.data.sources import IMAGES, picture, refused, write_images

PHOTOS = "folder: photos, x: image, y: label"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "photos")
    return tmp_path


def test_an_image_that_is_cut_off_is_refused_when_its_turn_comes(folder: Path) -> None:
    noise = np.random.RandomState(0).randint(0, 255, (4, 5, 3), dtype=np.uint8)
    for ending in ("png", "jpg"):
        path = folder / "photos" / "dog" / f"3.{ending}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:-30])
        found = refused(folder, PHOTOS, IMAGES)
        assert found.code == "data-broken"
        assert found.message.startswith(f"`photos/dog/3.{ending}` is an image that cannot be read: ")
        path.unlink()


@pytest.mark.parametrize("form", ["EPS", "TGA", "ICO"])
def test_a_form_of_image_that_is_not_decoded(folder: Path, form: str) -> None:
    """Pillow knows more of them; for some it calls a program."""
    picture(1, 16, 16).save(folder / "photos" / "dog" / "9.png", format=form)
    assert refused(folder, PHOTOS, IMAGES).message == "`photos/dog/9.png` is no image"


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_each_byte_of_an_image_is_looked_at(form: str) -> None:
    """Whatever bytes are changed, an image is pixels or refused."""
    draws, stream = np.random.RandomState(0), io.BytesIO()
    Image.fromarray(draws.randint(0, 255, (24, 20, 3), dtype=np.uint8)).save(stream, form)
    named = Named("a.png", Span(SourceFile("a", "a"), 0, 1))
    codes: set[str] = set()
    for _ in range(100):
        data = bytearray(stream.getvalue())
        for _ in range(draws.choice([1, 3, 20])):
            data[draws.randint(len(data))] = draws.randint(256)
        try:
            decoded(io.BytesIO(bytes(data)), named, 10**6)
        except SpecError as error:
            codes.add(error.diagnostics[0].code)
    assert codes <= {"data-broken", "data-too-large"}


def png_of(width: int, height: int) -> bytes:
    """A file of some hundred bytes that announces so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    packed = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + b"\x08\2\0\0\0")
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("side", "limit"), [(2_000, 10_000), (10_000, 1 << 40), (40_000, 1 << 40)])
def test_an_image_with_too_many_pixels_is_not_decoded(folder: Path, side: int, limit: int) -> None:
    (folder / "photos" / "cat" / "z.png").write_bytes(png_of(side, side))
    found = refused(folder, PHOTOS, IMAGES, limit)
    assert found.code == "data-too-large"
    assert "photos/cat/z.png" in found.message


def test_images_of_different_sizes(folder: Path) -> None:
    picture(1, 6, 7).save(folder / "photos" / "cat" / "z.png")
    found = refused(folder, PHOTOS, IMAGES)
    assert found.code == "data-ragged"
    assert found.message == "`image` has the shape [3, 4, 5] in one item and [3, 6, 7] in another"


def test_an_empty_folder_has_0_items(folder: Path) -> None:
    (folder / "nothing").mkdir()
    found = refused(folder, "folder: nothing, x: image, y: label", IMAGES)
    assert (found.code, found.message) == ("too-little-data", "`nothing` has 0 items")


def test_a_class_that_is_only_in_another_split(folder: Path) -> None:
    write_images(folder / "test", ("cat", "yak"))
    found = refused(folder, f"{PHOTOS}, test: {{folder: test}}", IMAGES)
    assert found.message == "`test/yak` is a class of which none is trained on"
