"""Checks of an HDF5 file before a library reads it. h5py is in the environments of the converters only."""

from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError

MAX_OBJECTS = 20_000
"""The largest models of Keras and TensorFlow have some thousands. Each takes a tenth of a millisecond or more."""
MAX_DEPTH = 32
SLACK = 1_000_000
"""Bytes by which the arrays may exceed the file, because several can share a few bytes."""
NUMBERS = "biufV"
"""Kinds of numpy dtypes that arrays may have. V: bfloat16, as Keras writes it. Objects and texts are not weights."""


def check_hdf5(file: Path) -> None:
    """Raise `StudioError` for a file that leads elsewhere, declares more than it holds, or holds anything but numbers.

    Links to other files, arrays in other files and virtual arrays could read any file of this machine. Compressed
    arrays are refused if they unpack to more than the file's size.
    """
    import h5py

    try:
        with h5py.File(file, "r") as opened:
            total = _measured(opened, file, h5py)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _refused(file, "It is damaged, or not an HDF5 file.") from error
    if total > file.stat().st_size + SLACK:
        raise _refused(file, "Its arrays declare more bytes than the file holds.")


def _measured(opened: Any, file: Path, h5py: Any) -> int:
    """Return the bytes that all arrays declare."""
    total, objects = 0, 0
    waiting: list[tuple[Any, int]] = [(opened, 0)]
    while waiting:
        group, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _refused(file, f"Its groups are nested deeper than {MAX_DEPTH}.")
        for name in group:
            objects += 1
            if objects > MAX_OBJECTS:
                raise _refused(file, f"It has more than {MAX_OBJECTS:,} objects.")
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                raise _refused(file, "It has a link to another place.")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                total += _bytes_of(item, file)
            else:
                raise _refused(file, "It holds something other than arrays.")
    return total


def _bytes_of(array: Any, file: Path) -> int:
    """Return the bytes that an array declares."""
    if array.is_virtual or array.external:
        raise _refused(file, "It has an array in another file.")
    if array.dtype.kind not in NUMBERS or array.dtype.hasobject:
        raise _refused(file, "It holds something other than numbers.")
    return int(array.size or 0) * int(array.dtype.itemsize)


def _refused(file: Path, why: str) -> StudioError:
    return StudioError(
        "broken-model",
        f"The studio does not read this weights file. {why}",
        given=file.name,
        valid="weights as Keras or transformers saves them",
        hint="Download the model again, from its author.",
        field="model",
    )
