"""The folder of an export: staged, free of data of this machine, zipped, and moved to the target."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.inference.heads import variant_of
from studio.inference.load import load_tokenizer, weights_folder
from studio.machine.disk import FULL, end_putting, put_in_place, sync_file, sync_folder, sync_tree
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.tasks.rendering import portable_template, template_of

TOKENIZER_FILES = tuple(
    "tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json vocab.txt "
    "merges.txt spiece.model tokenizer.model sentencepiece.bpe.model spm.model source.spm target.spm target_vocab.json "
    "chat_template.jinja".split()
)
ALLOWED = frozenset((".safetensors", ".json", ".jinja", ".md", ".txt", ".model", ".spm"))
"""Allowed extensions in an export: no pickle, no optimizer state."""
VOCABULARIES = frozenset(("vocab.txt", "merges.txt"))
"""Files that are not scanned for paths and tokens of this machine. Any text can be in them."""
ROWS = ".jsonl"
"""Extension of files with the user's rows, which are exported as they are, and not scanned either."""
BINARY = frozenset((".safetensors", ".model", ".spm", ".gguf", ".onnx", ".bin", ".wasm", ".pb", ".tflite", ".parquet"))
"""Extensions of files that are not text. Their first bytes, which hold names and metadata, are scanned."""
FORBIDDEN = frozenset((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"))
"""Extensions of pickles, which no export may contain."""
MAX_SCANNED_BYTES = 2**20
TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")
TAG = "finetune-studio"
"""A tag of every model card that the studio writes."""
RESERVE = 64 * 2**20


def check_target(to: Path, library: str) -> None:
    """Raise `StudioError` unless the folder is new, empty, or an earlier export for the same library."""
    if not _is_earlier_export(to, library):
        require_new(to)


def require_new(to: Path) -> None:
    """Raise `StudioError` unless the folder is new or empty. The folder above it is created if missing."""
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise StudioError(
            "not-allowed",
            "The target folder already contains other files.",
            given=to,
            valid="a new or an empty folder",
            field="to",
        )
    to.parent.mkdir(parents=True, exist_ok=True)


def require_room(to: Path, needed: int) -> None:
    """Raise `StudioError` if the disk has too little free space."""
    free = shutil.disk_usage(to if to.exists() else to.parent).free
    if free < needed + RESERVE:
        raise StudioError(
            "disk-full",
            "There is not enough free disk space for the export.",
            given=f"{free / 1e6:,.0f} MB free, {(needed + RESERVE) / 1e6:,.0f} MB needed",
            hint="Delete exports or other files that you no longer need.",
        )


@contextmanager
def staged(to: Path) -> Iterator[Path]:
    """Yield a folder beside the target that replaces it at the end. It is removed after a failure.

    What a process left that was killed while it exported to this target is completed or removed as well.
    """
    _clear_left_behind(to)
    stage = to.with_name(f".{to.name}.{os.getpid()}.new")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    try:
        yield stage
        sync_tree(stage)
        put_in_place(stage, to)
    except OSError as error:
        if error.errno in FULL:
            raise StudioError(
                "disk-full",
                "The disk became full while the export was written.",
                hint="Free some disk space, then export again.",
            ) from error
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _clear_left_behind(to: Path) -> None:
    """Remove what `staged`, `put_in_place` and `zipped` wrote beside the target in processes that have ended.

    A replacement that was interrupted is completed first: its files may be the only copy.
    """
    import psutil

    pattern = re.compile(rf"\.{re.escape(to.name)}\.(\d+)\.(?:new|old|zip)")
    matches = [(path, pattern.fullmatch(path.name)) for path in to.parent.iterdir()]
    left = [path for path, match in matches if match and not psutil.pid_exists(int(match[1]))]
    for path in left:
        if path.suffix == ".old":
            end_putting(path.with_suffix(".new"), to)
    for path in left:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def copy_tokenizer(run: RunRef, to: Path) -> None:
    """Copy the base's tokenizer files unchanged, because saving a tokenizer can change it.

    The chat template is another one if the base has none, or if its own refuses the system prompt of the run.
    """
    base = Path(weights_folder(run.info))
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, to / name)
    left_out = {"name_or_path"}
    needs_template = run.spec.config.system_prompt or not run.info.has_chat_template
    if variant_of(run.info, run.spec.data).templated and needs_template:
        tokenizer = load_tokenizer(run.info, run.trusted)
        template = portable_template(tokenizer)
        if template != template_of(tokenizer):
            (to / "chat_template.jinja").write_text(template, encoding="utf-8")
            left_out.add("chat_template")
    if config := read_json(to / "tokenizer_config.json"):
        kept = {key: value for key, value in config.items() if key not in left_out}
        write_json(to / "tokenizer_config.json", kept)


def without_paths(text: str, run: RunRef) -> str:
    """Return the text with all paths of this machine replaced."""
    for path in sorted(_private_paths(run), key=len, reverse=True):
        text = text.replace(path, "…")
    return text


def check_clean(stage: Path, run: RunRef, extra_files: frozenset[str] = frozenset()) -> None:
    """Raise `ValueError` if a file has a path or token of this machine, or is not allowed, such as a pickle.

    `extra_files` are extensions and names that are allowed besides `ALLOWED`.
    """
    allowed = (ALLOWED | extra_files) - FORBIDDEN
    for file in stage.rglob("*"):
        if file.is_dir() and not file.is_symlink():
            continue
        if not {file.suffix, file.name} & allowed or file.is_symlink():
            raise ValueError(f"an export must not contain {file.name}")
        if file.name not in VOCABULARIES and file.suffix != ROWS and _has_private_data(file, run):
            raise ValueError(f"{file.name} contains a path or a token of this machine")


def _has_private_data(file: Path, run: RunRef) -> bool:
    if file.suffix in BINARY:
        return names_private_data(file, _private_paths(run))
    if file.stat().st_size >= MAX_SCANNED_BYTES and file.suffix == ".json":
        return False  # a tokenizer
    text = file.read_text(encoding="utf-8")
    return bool(TOKEN.search(text)) or any(
        path in text or json.dumps(path)[1:-1] in text for path in _private_paths(run)
    )


def names_private_data(file: Path, paths: Iterable[str]) -> bool:
    """Return whether the metadata at the start of a binary file contain a token or one of these paths."""
    with file.open("rb") as opened:
        start = opened.read(MAX_SCANNED_BYTES)
    return TOKEN.search(start.decode("latin-1")) is not None or any(path.encode() in start for path in paths)


def _private_paths(run: RunRef) -> set[str]:
    return {run.folder, run.info.path or run.folder, *home_folders()}


def home_folders() -> list[str]:
    """Return the path of this user's home with a separator at its end, which no export may have.

    None if that is the root of the disk, as for a user of a container without a home: every path and every URL would
    have it.
    """
    home = Path.home()
    return [] if home == home.parent else [f"{home}{os.sep}"]


def zipped(stage: Path, to: Path) -> Path:
    """Write a zip beside the target, with the target's name as its top folder. Weights are stored uncompressed."""
    archive_path = to.with_name(f"{to.name}.zip")
    temporary = to.with_name(f".{to.name}.{os.getpid()}.zip")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(stage.rglob("*")):
                kind = zipfile.ZIP_STORED if file.suffix in BINARY else zipfile.ZIP_DEFLATED
                archive.write(file, f"{to.name}/{file.relative_to(stage)}", kind)
        sync_file(temporary)
        os.replace(temporary, archive_path)
        sync_folder(archive_path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return archive_path


def size(folder: Path) -> int:
    """Return the total size of all files in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Empty if there is none."""
    if not path.exists():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an indented JSON object."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_earlier_export(folder: Path, library: str) -> bool:
    """Return whether the folder is an earlier export for the same library."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front_matter = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)  # a name in it may contain dashes, too
    front = front_matter[1] if front_matter else ""
    return f"- {TAG}\n" in front and f"library_name: {library}\n" in front
