"""A folder of images: in one folder per class, or beside a table `metadata.csv` of their names and labels.

An image is decoded when it is asked for, so that the folder may hold more than memory does.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from runtime.training.places import Named, find, list_folder
from spec_schema.diagnostics import SpecError
from spec_schema.folders import Folders, NoFileError, open_file

IMAGE, LABEL, FILE_NAME = "image", "label", "file_name"
METADATA = "metadata.csv"
"""The name, and the column `file_name`, are those of the image folders of `datasets`."""
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded: none of the formats for which Pillow calls a program."""
CHANNELS = 3
BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, struct.error)
"""What Pillow's decoders raise."""


class ImageFolder:
    """The images of a folder as a map-style data set: `image` is uint8[3, height, width]."""

    def __init__(
        self, files: Sequence[tuple[Named, Path]], columns: Mapping[str, Sequence[Any]], limit: int
    ) -> None:
        self.files, self.limit = files, limit
        self.columns = columns
        """What else an item has, row by row."""

    @property
    def names(self) -> tuple[str, ...]:
        return (IMAGE, *self.columns)

    def __len__(self) -> int:
        return len(self.files)

    def item(self, index: int, wanted: Sequence[str]) -> dict[str, Any]:
        """Return what is wanted of an item; only then is its image decoded."""
        values = {name: self.columns[name][index] for name in wanted if name != IMAGE}
        return {**values, IMAGE: self._image(index)} if IMAGE in wanted else values

    def _image(self, index: int) -> Tensor:
        named, path = self.files[index]
        try:
            with open_file(path) as file:
                return decoded(file, named, self.limit)
        except NoFileError as error:
            raise named.broken(f"is {error}, and no ordinary file") from None
        except FileNotFoundError:
            raise named.missing() from None
        except OSError as error:
            raise named.broken(f"cannot be read: {(error.strerror or str(error)).lower()}") from None


def decoded(file: BinaryIO, named: Named, limit: int) -> Tensor:
    """Return an image as uint8[3, height, width].

    Raises:
        SpecError: it is none, is cut off, or has more pixels than may be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # of what a file says beside its pixels
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height * CHANNELS > limit:
                    raise _too_large(named, limit, f"{image.width:,} × {image.height:,} pixels")
                pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(named, limit, f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise named.broken("is no image") from None
    except BROKEN as error:
        raise named.broken(f"is an image that cannot be read: {error}") from None
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _too_large(named: Named, limit: int, size: str) -> SpecError:
    return named.too_large(f"the image has {size}", limit, "make the image smaller")


def class_files(
    named: Named, folders: Folders, classes: Sequence[str]
) -> tuple[list[tuple[Named, Path]], list[int]]:
    """Return the images of one folder per class in the order of their names, and the number of the class of each."""
    files: list[tuple[Named, Path]] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        found = plain_files(named.inside(name), folders)
        files += found
        labels += [number] * len(found)
    return files, labels


def plain_files(named: Named, folders: Folders) -> list[tuple[Named, Path]]:
    """Return the images that lie in a folder itself."""
    images = [named.inside(name) for name in list_folder(named, folders) if name.lower().endswith(ENDINGS)]
    return [(image, find(image, folders)) for image in images]


def listed_files(named: Named, folders: Folders, names: Sequence[str]) -> list[tuple[Named, Path]]:
    """Return the files that a table names, as seen from the folder.

    Raises:
        SpecError: one is not there, or lies outside the folder.
    """
    own = Folders(find(named, folders))
    files = []
    for name in names:
        image = named.inside(name)
        within = Named(name, named.span)
        try:
            files.append((image, find(within, own)))
        except SpecError as error:
            code = error.diagnostics[0].code
            raise (image.missing() if code == "data-missing" else _elsewhere(image)) from None
    return files


def _elsewhere(image: Named) -> SpecError:
    return image.broken("is named by the table, and lies outside its folder")


def class_folders(named: Named, folders: Folders) -> list[str]:
    """Return the names of the folders in a folder, which are those of the classes."""
    return [name for name in list_folder(named, folders) if find(named.inside(name), folders).is_dir()]
