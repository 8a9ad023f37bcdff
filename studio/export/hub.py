"""Before an export is uploaded to the Hub: the repository's name, the files, and the license. hub_upload.py uploads."""

import os
import re
import stat
from pathlib import Path
from typing import Any

from studio.export.folder import (
    ALLOWED,
    BINARY,
    FORBIDDEN,
    MAX_SCANNED_BYTES,
    TOKEN,
    VOCABULARIES,
    home_folders,
    names_private_data,
)
from studio.schema.errors import StudioError
from studio.schema.hub import LicenseCheck, PushFile

FREE = frozenset(
    "0bsd afl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc0-1.0 "
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cdla-permissive-1.0 cdla-permissive-2.0 ecl-2.0 isc mit ms-pl ncsa odc-by "
    "pddl postgresql unlicense wtfpl zlib etalab-2.0".split()
)
"""Licenses that allow to share changed copies, if the license and its notices are kept."""
CONDITIONS = frozenset(
    "agpl-3.0 apple-ascl bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m cc-by-nc-2.0 cc-by-nc-3.0 "
    "cc-by-nc-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cdla-sharing-1.0 "
    "creativeml-openrail-m epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 "
    "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 mpl-2.0 odbl ofl-1.1 openrail openrail++ osl-3.0".split()
)
"""Licenses that allow it with conditions, for example no commercial use, the same license, or a notice."""
NO_COPIES = re.compile(r"(?:^|-)nd(?:-|$)")
"""Creative Commons licenses without derivatives: cc-by-nd-4.0, cc-by-nc-nd-4.0."""
MOST_SECRET = 4096
"""Characters that are read again with the next part of a large file, because a secret may be on both sides."""
OWNER_AND_NAME = "OWNER/NAME, for example ann/support-tone"


def check_repo_name(name: str) -> str:
    """Return a repository's name without spaces around it.

    Raises:
        StudioError: `bad-setting` unless it is OWNER/NAME with the characters that the Hub allows.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = name.strip()
    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError
    except HFValidationError as error:
        raise StudioError(
            "bad-setting",
            "This can't be the name of a repository on the Hub.",
            given=name,
            valid=OWNER_AND_NAME,
            hint="Owner and name have letters, digits, - _ and . only, and no -- or .. in them.",
            field="repo",
        ) from error
    return name


def suggested_name(run_name: str) -> str:
    """Return a valid name for a repository from a run's name."""
    words = re.findall(r"[A-Za-z0-9]+", run_name)
    return "-".join(words).lower()[:60].strip("-") or "fine-tuned-model"


def read_front(card: Path) -> dict[str, Any]:
    """Return the metadata of a card: the YAML between its first two lines of dashes. Empty if there is none."""
    import yaml

    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front_matter = re.match(r"---\n(.*?)\n---(?:\n|$)", text, re.DOTALL)
    try:
        front = yaml.safe_load(front_matter[1]) if front_matter else {}
    except yaml.YAMLError:
        return {}
    return front if isinstance(front, dict) else {}


def files_to_push(folder: Path, extra_files: frozenset[str] = frozenset(), thorough: bool = False) -> list[PushFile]:
    """Return the files of an export, sorted by path. A link is not followed.

    `extra_files` are extensions and names that the format may contain besides safetensors, texts and the tokenizer.
    `thorough`: read large texts too, such as the rows of a script, which takes seconds. Do it before an upload.

    Raises:
        StudioError: `not-allowed` for a link, a file of an unknown kind such as a pickle, or a token in a file.
    """
    allowed = (ALLOWED | extra_files) - FORBIDDEN
    files = []
    for place, folders, names in os.walk(folder):
        for name in sorted(folders + names):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise _refused(relative, "a link or a special file", "normal files only")
            if not {path.suffix, name} & allowed:
                raise _refused(relative, "of a kind that is not uploaded", "no pickles and no optimizer state")
            if _has_secret(path, thorough):
                raise _refused(relative, "a file with a token or a path of this machine in it", "neither of them")
            files.append(PushFile(path=relative, bytes=path.stat().st_size))
    if not files:
        raise StudioError("format-unavailable", "The export has no files.", hint="Export it again, then upload it.")
    return sorted(files, key=lambda file: file.path)


def check_license(license: str) -> LicenseCheck:
    """Return what a license says about sharing a fine-tuned model."""
    name = license.strip().lower()
    if name in FREE:
        sentence = f"The base model's license, {name}, allows sharing. Keep its notices."
        return LicenseCheck(verdict="free", license=name, sentence=sentence)
    if name in CONDITIONS:
        sentence = f"The base model's license, {name}, allows sharing with conditions. Read them first."
        return LicenseCheck(verdict="conditions", license=name, sentence=sentence)
    if NO_COPIES.search(name):
        sentence = f"The base model's license, {name}, does not allow sharing changed copies."
        return LicenseCheck(verdict="forbidden", license=name, sentence=sentence)
    if name in ("", "other", "unknown"):
        sentence = "The base model does not name a known license. Ask its authors before you share your model."
        return LicenseCheck(verdict="unknown", license="", sentence=sentence)
    sentence = f"The studio does not know the base model's license, {name}. Read it before you share your model."
    return LicenseCheck(verdict="unknown", license=name, sentence=sentence)


def _has_secret(path: Path, thorough: bool) -> bool:
    """Whether a file contains a Hub token, or the path of this user's home. Large texts are read if `thorough`.

    A large JSON file is a tokenizer, in whose vocabulary any text can be. Of a binary file the beginning is read.
    """
    is_skipped = path.stat().st_size > MAX_SCANNED_BYTES and (path.suffix == ".json" or not thorough)
    homes, end = home_folders(), ""
    if path.suffix in BINARY:
        return names_private_data(path, homes)
    if path.name in VOCABULARIES or is_skipped:
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        while part := file.read(MAX_SCANNED_BYTES):
            text = end + part
            if TOKEN.search(text) or any(home in text for home in homes):
                return True
            end = text[-MOST_SECRET:]
    return False


def _refused(given: str, kind: str, valid: str) -> StudioError:
    return StudioError(
        "not-allowed",
        f"Nothing was uploaded. The export's folder contains {kind}.",
        given=given,
        valid=valid,
        hint="Export it again, then upload it.",
    )
