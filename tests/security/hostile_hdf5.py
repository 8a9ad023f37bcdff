"""HDF5 files that attack who reads them. Called in the environment of the Keras converter, which has h5py.

`run_in_process` calls `write`: it must not know the studio.
"""

from pathlib import Path
from typing import Any

NUMBERS = 64


def write(file: str, kind: str, secret: str) -> None:
    """Write a file of a kind. `secret`: a file beside it that must not be read."""
    import h5py

    Path(file).unlink(missing_ok=True)
    with h5py.File(file, "w") as opened:
        opened["layer/vars/0"] = [0.5] * NUMBERS
        KINDS[kind](opened, h5py, secret)


def secret_weights(file: str) -> None:
    """Write an ordinary file with numbers, which another one leads to."""
    import h5py

    with h5py.File(file, "w") as opened:
        opened["secret"] = [0.25] * NUMBERS


def _external_array(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_dataset("x", (4,), "f4", external=[(secret, 0, h5py.h5f.UNLIMITED)])


def _relative_external_array(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_dataset("x", (4,), "f4", external=[(f"../{Path(secret).name}", 0, 16)])


def _virtual(opened: Any, h5py: Any, secret: str) -> None:
    layout = h5py.VirtualLayout((NUMBERS,), "f4")
    layout[:] = h5py.VirtualSource(secret, "secret", (NUMBERS,))
    opened.create_virtual_dataset("x", layout)


def _virtual_of_itself(opened: Any, h5py: Any, secret: str) -> None:
    layout = h5py.VirtualLayout((NUMBERS,), "f4")
    layout[:] = h5py.VirtualSource(".", "x", (NUMBERS,))
    opened.create_virtual_dataset("x", layout)


def _external_link(opened: Any, h5py: Any, secret: str) -> None:
    opened["x"] = h5py.ExternalLink(secret, "/secret")


def _external_group(opened: Any, h5py: Any, secret: str) -> None:
    opened["group"] = h5py.ExternalLink(secret, "/")


def _soft_link(opened: Any, h5py: Any, secret: str) -> None:
    opened["x"] = h5py.SoftLink("/layer/vars/0")


def _soft_link_circle(opened: Any, h5py: Any, secret: str) -> None:
    opened["a"], opened["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")


def _hard_link_circle(opened: Any, h5py: Any, secret: str) -> None:
    opened["layer/again"] = opened["layer"]


def _hard_link_tree(opened: Any, h5py: Any, secret: str) -> None:
    """2^30 ways to 30 groups."""
    group = opened.create_group("last")
    for number in range(30):
        above = opened.create_group(f"group{number}")
        above["left"] = above["right"] = group
        group = above


def _deep_groups(opened: Any, h5py: Any, secret: str) -> None:
    group = opened
    for _ in range(5_000):
        group = group.create_group("a")


def _many_objects(opened: Any, h5py: Any, secret: str) -> None:
    array = opened["layer/vars/0"]
    group = opened.create_group("many")
    for number in range(30_000):
        group[f"{number}"] = array


def _huge_shape(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_dataset("x", (2**40,), "f4", chunks=(2**20,))


def _huge_dimensions(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_dataset("x", (2**31, 2**31), "f4", chunks=(2**10, 2**10))


def _overflowing_shape(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_dataset("x", (2**32, 2**31, 2), "i1", chunks=(2**10, 2**10, 1))


def _bomb(opened: Any, h5py: Any, secret: str) -> None:
    import numpy as np

    opened.create_dataset("x", data=np.zeros(200_000_000, "i1"), compression="gzip", compression_opts=9)


def _many_bombs(opened: Any, h5py: Any, secret: str) -> None:
    import numpy as np

    for number in range(200):
        opened.create_dataset(f"x{number}", data=np.zeros(1_000_000, "i1"), compression="gzip")


def _sparse(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_dataset("x", (10**9,), "f4", chunks=(10**6,), fillvalue=7.0)


def _texts(opened: Any, h5py: Any, secret: str) -> None:
    opened["x"] = ["text"] * 8


def _objects(opened: Any, h5py: Any, secret: str) -> None:
    array = opened.create_dataset("x", (2,), h5py.ref_dtype)
    array[0] = opened["layer"].ref


def _lists(opened: Any, h5py: Any, secret: str) -> None:
    import numpy as np

    array = opened.create_dataset("x", (2,), h5py.vlen_dtype(np.dtype("f4")))
    array[0] = [1.0] * 100


def _records_of_texts(opened: Any, h5py: Any, secret: str) -> None:
    import numpy as np

    opened.create_dataset("x", (2,), np.dtype([("number", "f4"), ("text", h5py.string_dtype())]))


def _type(opened: Any, h5py: Any, secret: str) -> None:
    import numpy as np

    opened["x"] = np.dtype("f8")


def _name_with_dots(opened: Any, h5py: Any, secret: str) -> None:
    opened.create_group("..").create_dataset("...", data=[1.0])
    opened["a/./b"] = h5py.ExternalLink(secret, "/secret")


KINDS = {
    "an array in another file": _external_array,
    "an array in a file of the folder above": _relative_external_array,
    "a virtual array of another file": _virtual,
    "a virtual array of itself": _virtual_of_itself,
    "a link to an array of another file": _external_link,
    "a link to another file as a group": _external_group,
    "a soft link": _soft_link,
    "soft links in a circle": _soft_link_circle,
    "a group that holds itself": _hard_link_circle,
    "2^30 ways to one group": _hard_link_tree,
    "5,000 groups in each other": _deep_groups,
    "30,000 names of one array": _many_objects,
    "a declared shape of 2^40": _huge_shape,
    "a declared shape of 2^31 × 2^31": _huge_dimensions,
    "a declared shape that overflows": _overflowing_shape,
    "200 MB of zeros in 200 kB": _bomb,
    "200 compressed arrays of 1 MB": _many_bombs,
    "4 GB of one repeated number in 2 kB": _sparse,
    "texts": _texts,
    "references to objects": _objects,
    "lists of any length": _lists,
    "records with texts": _records_of_texts,
    "a type as an object": _type,
    "the names .. and ...": _name_with_dots,
}
