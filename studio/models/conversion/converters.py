"""Conversion of Keras and TensorFlow models to folders of safetensors, in environments with their libraries.

First the library loads the original, writes it in the format of transformers, and computes logits of a few texts. Then
the studio's own transformers loads the new folder and must compute the same (`verification.py`). Both are processes
without secrets, with limits of memory and time.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessCancelled, ProcessCrashed, ProcessLimits, run_in_process
from studio.machine.tool_environment import ToolEnvironment
from studio.models.conversion.keras_preset import WIDTHS
from studio.models.downloads.fetching import Fetching
from studio.schema.errors import StudioError
from studio.schema.numbers import memory, size

Library = Literal["keras", "tensorflow"]
REQUIREMENTS = Path(__file__).with_name("tools")
INSTALL = "Install it first. The Model tab has a button, and `studio download` the flag --install-tools."
KERAS = ToolEnvironment(
    name="keras",
    title="Keras converter",
    sentence="Keras and KerasHub are installed from PyPI into the data folder: 10 MB to download, 95 MB on disk. "
    "Packages: keras 3.15.1 and keras-hub 0.32.0 (Apache license).",
    requirements=REQUIREMENTS / "keras.txt",
    hint="It needs the internet, or a mirror of PyPI in pip's settings. Then install again.",
    install_hint=INSTALL,
)
TENSORFLOW = ToolEnvironment(
    name="tensorflow",
    title="TensorFlow converter",
    sentence="TensorFlow and transformers 4 are installed from PyPI into the data folder: 305 MB to download, 1.6 GB "
    "on disk. Packages: tensorflow 2.21.0 and transformers 4.57.6 (Apache license).",
    requirements=REQUIREMENTS / "tensorflow.txt",
    hint="It needs Python 3.11 to 3.13, and the internet or a mirror of PyPI in pip's settings. Then install again.",
    install_hint=INSTALL,
)
CONVERTERS: dict[Library, ToolEnvironment] = {"keras": KERAS, "tensorflow": TENSORFLOW}
TITLES: dict[Library, str] = {"keras": "Keras", "tensorflow": "TensorFlow"}
FUNCTIONS: dict[Library, str] = {
    "keras": "studio.models.conversion.convert_keras:convert",
    "tensorflow": "studio.models.conversion.convert_tensorflow:convert",
}
MEMORY_PER_PARAMETER = 16
"""Bytes of memory for each parameter: the original, the converted copy and the file, with 32 bits, and room."""
MEMORY_BESIDE = 12_000_000_000
"""Bytes of address space that Python, torch and TensorFlow take."""
MIN_FREE_BYTES = 200_000_000
SECONDS = 3600.0
"""Maximum duration of each of the two steps."""


@dataclass(frozen=True)
class Conversion:
    """A model that is to be converted."""

    library: Library
    given: str
    """How the user named it."""
    title: str
    """A short name for people."""
    files: Mapping[str, Path]
    """Name in the model's folder → where the file is."""
    architecture: str
    """Class in transformers."""
    parameters: int
    dtype: str
    """Number format of the converted weights."""
    licence: str = ""

    @property
    def bytes(self) -> int:
        """Approximate size of the converted weights."""
        return self.parameters * WIDTHS[self.dtype]


def convert(conversion: Conversion, to: Path, fetching: Fetching) -> str | None:
    """Convert a model to the new folder `to`, verify it, and return a sentence about the result. None: stopped.

    Raises:
        StudioError: `format-unavailable` if the converter is not installed; `disk-full` and `out-of-memory`;
            `broken-model` if the model can't be converted, or computes something else after the conversion.
    """
    python = require_converter(conversion.library, fetching)
    _check_space(conversion, to.parent)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".new-") as work:
        original, total = Path(work) / "original", conversion.bytes + conversion.parameters * 4
        for name, file in conversion.files.items():
            (original / name).parent.mkdir(parents=True, exist_ok=True)
            (original / name).symlink_to(file.resolve())
        try:
            with fetching.watching(Path(work), total) as cancel:
                result = _run(conversion, Path(work), cancel, python)
        except ProcessCancelled:
            return None
        (Path(work) / "new").rename(to)
    return sentence(conversion.library, **result)


def require_converter(library: Library, fetching: Fetching) -> Path:
    """Return the Python of the converter. Raise `StudioError` `format-unavailable` if it is not installed."""
    assert fetching.tools is not None, "the services pass the folder of the tools"
    return CONVERTERS[library].require(fetching.tools)


def sentence(library: Library, difference: float, texts: int) -> str:
    """Return what the conversion was, and how well the result agrees with the original."""
    title = TITLES[library]
    return (
        f"Converted from {title}. The largest difference of the logits is {difference:.1e} of the largest "
        f"logit, on {texts} texts."
    )


def _run(conversion: Conversion, work: Path, cancel: Event, python: Path) -> dict[str, Any]:
    """Write the converted model to work/new. Return the largest difference, and the number of texts."""
    paths = {
        "original": str(work / "original"),
        "raw": str(work / "raw"),
        "reference": str(work / "reference.safetensors"),
    }
    limits = ProcessLimits(
        memory=conversion.parameters * MEMORY_PER_PARAMETER + MEMORY_BESIDE,
        seconds=SECONDS,
        environment={**child_environment(visitors=True), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "KERAS_HOME": str(work)},
        threads=None,
        python=str(python),
    )
    checked = ProcessLimits(limits.memory, limits.seconds, limits.environment, threads=None)
    arguments = {**paths, "architecture": conversion.architecture}
    more = {"to": str(work / "new"), "dtype": conversion.dtype, "library": TITLES[conversion.library]}
    card = {"title": conversion.title, "licence": conversion.licence}
    try:
        run_in_process(FUNCTIONS[conversion.library], arguments, limits, cancel=cancel)
        checking = "studio.models.conversion.verification:check"
        result: dict[str, Any] = run_in_process(checking, {**arguments, **more, **card}, checked, cancel=cancel)
    except ProcessCrashed as error:
        title = TITLES[conversion.library]
        raise StudioError(
            "broken-model",
            f"This {title} model can't be converted.",
            given=f"{conversion.given}: {error.last_line[:300] or error.message}",
            hint="Choose the same model with model.safetensors, for example from the Hub.",
            field="model",
        ) from error
    return result


def _check_space(conversion: Conversion, cache: Path) -> None:
    """Raise `StudioError` if the disk or the memory is too small for the conversion."""
    import psutil

    on_disk, in_memory = conversion.parameters * 4 + conversion.bytes + MIN_FREE_BYTES, conversion.parameters * 12
    if shutil.disk_usage(cache).free < on_disk:
        raise StudioError(
            "disk-full",
            f"Converting the model needs {size(on_disk)} of disk space.",
            given=conversion.given,
            hint="Free disk space, or set STUDIO_CACHE to a folder on a larger disk.",
        )
    if psutil.virtual_memory().available < in_memory:
        raise StudioError(
            "out-of-memory",
            f"Converting the model needs about {memory(in_memory)} of memory.",
            given=conversion.given,
            hint="Close other programs, or choose the same model with model.safetensors.",
        )
