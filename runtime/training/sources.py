"""Opens a source of data: which reader a file has is told by its ending, and a folder by what is in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from zipfile import BadZipFile
from zlib import error as ZlibError

import torch
from numpy.lib.format import MAGIC_PREFIX

from compiler.extras import DATA
from compiler.training.calls import Making
from compiler.training.source import Origin
from runtime.files.header import strict_json
from runtime.training.arrays import TooLargeError, read_arrays
from runtime.training.mapped import mapped_npy, mapped_safetensors
from runtime.training.opened import Arrays, Opened, Reading, SampleReader, TableReader, failed
from runtime.training.places import Named, list_folder, map_named, open_bounded
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.folders import NoFileError, OutsideError

UNREADABLE = (ValueError, OSError, EOFError, BadZipFile, ZlibError, NotImplementedError)
"""What the readers of zip files and of arrays raise."""
SAVED, SEVERAL_SAVED = "state.json", "dataset_dict.json"
"""What marks a folder that `save_to_disk` of datasets wrote: one data set, or several."""
LONGEST_STATE = 1 << 20
SHARD = re.compile(r"(.+)-\d+-of-\d+\.parquet")


def open_origin(reading: Reading, origin: Origin) -> Opened:
    """Return the source of data at a place.

    Raises:
        SpecError: it is not there, elsewhere, too large or broken, or lacks an array.
    """
    if origin.kind == "dataset":
        return _dataset(reading, origin)
    assert origin.path is not None
    named = Named(origin.path, origin.span)
    return _folder(reading, named) if origin.kind == "folder" else _file(reading, named)


def _file(reading: Reading, named: Named) -> Opened:
    readers: Mapping[str, Callable[[Reading, Named], Opened]] = {
        ".arrow": lambda reading, named: _arrow(reading, [named]),
        ".csv": _csv,
        ".npy": _npy,
        ".parquet": lambda reading, named: _parquet(reading, [named]),
        ".safetensors": _safetensors,
    }
    return readers.get(PurePosixPath(named.path).suffix.lower(), _npz)(reading, named)


def _folder(reading: Reading, named: Named) -> Opened:
    kind, files, names = what_is_in(reading, named)
    if kind == "arrow":
        return _arrow(reading, files)
    if kind == "parquet":
        return _parquet(reading, files)
    if kind == "npy":
        found = {PurePosixPath(each.path).stem: mapped(reading, each) for each in files}
        return Arrays(reading, found, f"`{named.path}`", False)
    return _images(reading, named, names)


def what_is_in(reading: Reading, named: Named) -> tuple[str, list[Named], list[str]]:
    """Return what a folder holds (`arrow`, `parquet`, `npy` or `images`), its files where they are data, and all names.

    Raises:
        SpecError: it is not there, or holds more than one set of data.
    """
    names = list_folder(named, reading.folders)
    if SEVERAL_SAVED in names:
        raise named.broken(
            "holds several data sets", help=f"name one of them, such as `folder: {named.path}/train`"
        )
    if SAVED in names:
        return "arrow", _saved(reading, named), names
    if parquet := [name for name in names if name.endswith(".parquet")]:
        return "parquet", _shards(named, parquet), names
    arrays = [named.inside(name) for name in names if name.endswith(".npy")]
    return "npy" if arrays else "images", arrays, names


# Arrays.


def _npz(reading: Reading, named: Named) -> Opened:
    """Open an .npz file; its arrays that no field names are not read."""
    return Arrays(reading, members_of(reading, named, read_arrays), f"`{named.path}`", False)


def members_of(
    reading: Reading, named: Named, read: Callable[[BinaryIO, Collection[str], int], dict[str, Any]]
) -> dict[str, Any]:
    """Return what `read` takes of an .npz file."""
    with open_bounded(named, reading.folders, reading.limit) as file:
        if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise named.broken("holds one array, not arrays by name")
        try:
            return read(file, reading.source.arrays, reading.limit)
        except TooLargeError as error:
            raise named.too_large(str(error), reading.limit) from None
        except UNREADABLE as error:
            raise named.broken(f"is no .npz file of plain arrays: {error}") from None


def _npy(reading: Reading, named: Named) -> Opened:
    found = {PurePosixPath(named.path).stem: mapped(reading, named)}
    return Arrays(reading, found, f"`{named.path}`", False)


def mapped(reading: Reading, named: Named) -> torch.Tensor:
    """Return the array of a `.npy` file, which stays in it."""
    try:
        return mapped_npy(map_named(named, reading.folders))
    except (ValueError, RuntimeError, OverflowError, EOFError) as error:
        raise named.broken(f"is no .npy file of a plain array: {error}") from None


def _safetensors(reading: Reading, named: Named) -> Opened:
    return Arrays(reading, tensors_of(reading, named), f"`{named.path}`", False)


def tensors_of(reading: Reading, named: Named) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file, which stay in it."""
    try:
        return mapped_safetensors(map_named(named, reading.folders))
    except (ValueError, RuntimeError, OverflowError) as error:
        raise named.broken(f"is no safetensors file: {error}") from None


# Tables.


def _csv(reading: Reading, named: Named) -> Opened:
    need_readers(named, "pyarrow")
    from runtime.training.tables import read_csv, values_of

    with open_csv(reading, named) as file:
        found = read_csv(file, named, reading.source.arrays)
    return Arrays(reading, values_of(found, named.span), f"`{named.path}`", True)


def open_csv(reading: Reading, named: Named) -> BinaryIO:
    """Open a CSV file, which is read as a whole."""
    from runtime.training.tables import WRITE_PARQUET

    try:
        return open_bounded(named, reading.folders, reading.limit)
    except SpecError as error:
        if error.diagnostics[0].code != "data-too-large":
            raise
        raise named.too_large(error.diagnostics[0].notes[0], reading.limit, WRITE_PARQUET) from None


def _parquet(reading: Reading, files: list[Named]) -> Opened:
    need_readers(files[0], "pyarrow")
    from runtime.training.tables import ParquetGroups

    return _table(reading, ParquetGroups([(each, map_named(each, reading.folders)) for each in files]))


def _arrow(reading: Reading, files: list[Named]) -> Opened:
    need_readers(files[0], "pyarrow")
    from runtime.training.tables import ArrowRows

    mapped = [(each, map_named(each, reading.folders)) for each in files]
    return _table(reading, ArrowRows(mapped, reading.source.arrays))


def _table(reading: Reading, table: Any) -> Opened:
    from runtime.training.columns import has_images
    from runtime.training.tables import values_of

    owner = f"`{reading.source.origin.path}`"
    if any(each.name in reading.source.arrays and has_images(each.type) for each in table.schema):
        return _table_images(reading, table)
    columns = table.whole(reading.source.arrays, reading.limit)
    if columns is None:
        return TableReader(reading, table, owner)
    return Arrays(reading, values_of(columns, reading.source.span), owner, False)


def _table_images(reading: Reading, table: Any) -> Opened:
    origin = reading.source.origin
    named = Named(str(origin.path), origin.span)
    need_readers(named, "PIL")
    from runtime.training.table_images import TableImages

    return SampleReader(reading, TableImages(table, named, reading.limit), None, table.names)


def _shards(named: Named, names: list[str]) -> list[Named]:
    splits = sorted({match[1] for name in names if (match := SHARD.fullmatch(name))})
    if len(splits) > 1:
        raise named.broken(
            f"holds shards of several splits: {', '.join(splits)}",
            help="put each split into a folder of its own",
        )
    return [named.inside(name) for name in names]


def _saved(reading: Reading, named: Named) -> list[Named]:
    """Return the Arrow files of a data set that `save_to_disk` wrote."""
    state = named.inside(SAVED)
    with open_bounded(state, reading.folders, LONGEST_STATE) as file:
        text = file.read(LONGEST_STATE)
    try:
        told = strict_json(text)
        names = [each["filename"] for each in told["_data_files"]]
    except (ValueError, KeyError, TypeError):
        raise state.broken("does not say which files the data set has") from None
    if not names:
        raise nothing(named, "the data set that was saved there is empty")
    if not all(isinstance(name, str) and "/" not in name and name not in ("", ".", "..") for name in names):
        raise state.broken("names files outside the folder")
    return [named.inside(name) for name in names]


# Images.


def _images(reading: Reading, named: Named, names: list[str]) -> Opened:
    need_readers(named, "PIL")
    from runtime.training import images

    if images.METADATA in names:
        return _listed_images(reading, named)
    classes = images.class_folders(named, reading.folders)
    if not classes:
        return _plain_images(reading, named)
    # The classes are those of the training split: a folder of its own for another split has the same, or fewer.
    known = reading.texts.setdefault(images.LABEL, {name: at for at, name in enumerate(classes)})
    new = next((name for name in classes if name not in known), None)
    if new is not None:
        raise named.inside(new).broken("is a class of which none is trained on")
    files, labels = images.class_files(named, reading.folders, classes)
    return _image_folder(
        reading, named, files, {images.LABEL: torch.tensor([known[classes[label]] for label in labels])}
    )


def _plain_images(reading: Reading, named: Named) -> Opened:
    """Open images without classes, of which a model makes predictions."""
    from runtime.training import images

    return _image_folder(reading, named, images.plain_files(named, reading.folders), {})


def _image_folder(reading: Reading, named: Named, files: list[Any], columns: dict[str, Any]) -> Opened:
    from runtime.training import images

    if not files:
        raise no_images(named)
    columns = {**columns, images.FILE_NAME: [each.path for each, _ in files]}
    made = images.ImageFolder(files, columns, reading.limit)
    return SampleReader(reading, made, None, (images.IMAGE, *columns))


def _listed_images(reading: Reading, named: Named) -> Opened:
    need_readers(named, "pyarrow")
    from runtime.training import images
    from runtime.training.tables import read_csv, values_of

    table = named.inside(images.METADATA)
    wanted = {*reading.source.arrays, images.FILE_NAME} - {images.IMAGE}
    with open_bounded(table, reading.folders, reading.limit) as file:
        found = read_csv(file, table, wanted)
    if images.FILE_NAME not in found:
        raise table.broken(f"has no column `{images.FILE_NAME}`")
    values = {name: each for name, each in values_of(found, named.span).items() if each is not None}
    names = [str(name) for name in values[images.FILE_NAME]]
    files = images.listed_files(named, reading.folders, names)
    if not files:
        raise nothing(named, "its table has no rows")
    columns = {name: reading.numbered(each, name, named.span) for name, each in values.items()}
    columns[images.FILE_NAME] = names
    made = images.ImageFolder(files, columns, reading.limit)
    return SampleReader(reading, made, None, (images.IMAGE, *found))


def no_images(named: Named) -> SpecError:
    """Return the refusal of a folder that holds none."""
    note = "a folder of images has one folder for each class, or a table `metadata.csv` beside them"
    return nothing(named, note)


def nothing(named: Named, note: str) -> SpecError:
    """Return the refusal of data without items."""
    return refuse("too-little-data", f"`{named.path}` has 0 items", named.span, notes=(note,))


# Data sets of plugins.


def _dataset(reading: Reading, origin: Origin) -> Opened:
    making = origin.making
    assert making is not None
    made = _made(reading, making)
    if isinstance(made, Mapping):
        return Arrays(reading, made, "the data set", False)
    if not (hasattr(made, "__len__") and hasattr(made, "__getitem__")):
        raise refuse(
            "bad-dataset",
            f"the data set is a {type(made).__name__}",
            origin.span,
            help="return arrays by name, or an object with `__len__` and `__getitem__`",
        )
    return SampleReader(reading, made, making, ())


def _made(reading: Reading, making: Making) -> Any:
    arguments = dict(making.arguments)
    for name in making.paths:
        if arguments.get(name) is not None:
            arguments[name] = path_of(reading, making, str(arguments[name]))
    try:
        return making.target(**arguments)
    except Exception as error:
        raise failed(making, "", error) from error


def path_of(reading: Reading, making: Making, text: str) -> Any:
    """Return the path that an argument names, as seen from the folder of the spec."""
    named = Named(text, making.span)
    try:
        return reading.folders.find(text)
    except OutsideError:
        raise named.outside() from None
    except (FileNotFoundError, NoFileError):
        raise named.missing() from None


def need_readers(named: Named, module: str) -> None:
    """Refuse a file whose reader is not installed, with the command that installs it."""
    if module in DATA.missing():
        message = f"`{named.path}` is read with `{module}`, which is not installed"
        raise refuse("missing-extra", message, named.span, help=f"`{DATA.command}`")
