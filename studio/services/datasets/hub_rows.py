"""Datasets on the Hub: configs and splits of a dataset, and its rows, downloaded in pieces up to a limit."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import quote

from studio.data.hub import (
    CONVERTED,
    DEFAULT,
    HubFile,
    SplitFiles,
    read_splits,
    splits_of_conversion,
    splits_of_repository,
)
from studio.data.limits import HARD, ReadLimits
from studio.data.phrases import listed
from studio.data.progress import advance
from studio.data.table import Table
from studio.models.downloads.hub_files import Remote
from studio.schema.dataset import Reading
from studio.schema.errors import StudioError, nearest
from studio.schema.numbers import plural
from studio.schema.views import HubDataset, HubSplit

LIMIT = 20_000
"""Maximum rows of each split, unless set."""
SECONDS = 20
PIECE = 1 << 20
"""Minimum bytes of a download."""
MOST_PAGES = 50
WAITS = (0.25, 1.0)
"""Seconds before a download is repeated after a network error."""
NO_DATASET = "The Hub has no dataset with this name, or it is private."
SAFE = "Parquet, CSV, TSV, JSON, JSON Lines or text files (code is never run)"


class HubRows:
    """Datasets on the Hub, as seen with a token."""

    def __init__(self, token: str | None = None, endpoint: str = "") -> None:
        self.remote = Remote(endpoint, token=token)

    def inspect(self, name: str) -> HubDataset:
        """What a dataset contains: its configs, their splits, its license."""
        info, parts = self._describe_files(name)
        card = info.get("cardData") or {}
        counted = _row_counts(card)
        return HubDataset(
            name=name,
            revision=str(info.get("sha") or ""),
            licence=str(card.get("license") or ""),
            downloads=int(info.get("downloads") or 0),
            configs={
                config: tuple(
                    HubSplit(name=split, bytes=sum(file.size for file in files), rows=counted.get((config, split)))
                    for split, files in splits.items()
                )
                for config, splits in parts.items()
            },
        )

    def read(self, name: str, how: Reading, limits: ReadLimits = HARD) -> tuple[Table, list[str]]:
        """The rows of a config, of all its splits or one, and sentences about their source."""
        info, parts = self._describe_files(name)
        config = _chosen(how.hub_config, list(parts), "hub_config", how.ask)
        splits = parts[config]
        if how.hub_split:
            split = _chosen(how.hub_split, list(splits), "hub_split", how.ask)
            splits = {split: splits[split]}
        limit = how.row_limit or LIMIT
        with dataset_errors(name):
            table, cut = read_splits(name, splits, self._opener(name), limit, limits)
        revision = str(info.get("sha") or "main")[:7]
        one = "From the Hub: {name} at {revision}, split {splits}."
        more = "From the Hub: {name} at {revision}, splits {splits}."
        if len(parts) > 1 or config != DEFAULT:
            one = "From the Hub: {name} at {revision}, config {config}, split {splits}."
            more = "From the Hub: {name} at {revision}, config {config}, splits {splits}."
        where = {"name": name, "revision": revision, "config": config, "splits": listed(splits)}
        notes = [plural(len(splits), one, more, **where)]
        if cut:
            notes.append(f"Only the first {limit:,} rows of {listed(cut)} were imported.")
        return table, notes

    def _describe_files(self, name: str) -> tuple[dict[str, Any], SplitFiles]:
        """The Hub's description of a dataset, and its files by split."""
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise StudioError(
                "no-network",
                "The Hub can't be used, because HF_HUB_OFFLINE is set.",
                given=name,
                hint="Unset it, or use a file, pasted rows or sample data.",
            )
        with dataset_errors(name):
            info = self._json(f"/api/datasets/{quote(name)}")[0]
            parts = splits_of_conversion(self._files(name, CONVERTED))
            parts = parts or splits_of_repository(
                self._files(name, str(info.get("sha") or "main")), info.get("cardData") or {}
            )
        if not parts:
            raise StudioError(
                "unreadable-file",
                "This dataset on the Hub has no files that the studio can read.",
                given=name,
                valid=SAFE,
                hint="Choose another dataset, or download its files and import them.",
            )
        return info, parts

    def _files(self, name: str, revision: str) -> list[HubFile]:
        """All files of a revision. Empty when the revision does not exist."""
        from huggingface_hub import errors

        address: str | None = f"/api/datasets/{quote(name)}/tree/{quote(revision, safe='')}?recursive=true&expand=false"
        files: list[HubFile] = []
        for _ in range(MOST_PAGES):
            if not address:
                break
            try:
                entries, address = self._json(address)
            except (errors.RevisionNotFoundError, errors.EntryNotFoundError):
                return []
            files += [
                HubFile(str(each["path"]), int(each.get("size") or 0), revision)
                for each in entries
                if isinstance(each, dict) and each.get("type") == "file"
            ]
        return files

    def _json(self, address: str) -> tuple[Any, str | None]:
        """One JSON response, and the address of the next page."""
        from huggingface_hub.utils import get_session, hf_raise_for_status

        whole = address if address.startswith("http") else self.remote.address + address
        answer = get_session().get(whole, headers=self.remote.headers(), timeout=SECONDS)
        hf_raise_for_status(answer)
        following = (answer.links.get("next") or {}).get("url")
        if following and not str(following).startswith(self.remote.address):
            following = None  # never send the token elsewhere
        return answer.json(), following

    def _opener(self, name: str) -> Callable[[HubFile], BinaryIO]:
        def opened(file: HubFile) -> BinaryIO:
            place = f"{quote(name)}/resolve/{quote(file.revision, safe='')}/{quote(file.path)}"
            address = f"{self.remote.address}/datasets/{place}"
            return io.BufferedReader(_RemoteFile(address, file.size, self.remote.headers()), PIECE)

        return opened


class _RemoteFile(io.RawIOBase):
    """A file on the Hub. Only the pieces that are read are downloaded."""

    def __init__(self, address: str, size: int, headers: Mapping[str, str]) -> None:
        self.address, self.size, self.headers, self.at = address, size, headers, 0
        self._piece, self._start = b"", 0
        """The piece that was downloaded last, and its offset."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence] + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.size - self.at)
        if count <= 0:
            return 0
        if not self._start <= self.at < self._start + len(self._piece):
            self._piece, self._start = self._fetch_again(self.at, min(max(count, PIECE), self.size - self.at)), self.at
            advance(size=len(self._piece))
        place = self.at - self._start
        got = self._piece[place : place + count]
        buffer[: len(got)] = got
        self.at += len(got)
        return len(got)

    def _fetch_again(self, start: int, count: int) -> bytes:
        """The bytes; the download is repeated after network errors."""
        import httpx2

        for wait in WAITS:
            try:
                return self._fetch(start, count)
            except httpx2.TransportError:
                time.sleep(wait)
        return self._fetch(start, count)

    def _fetch(self, start: int, count: int) -> bytes:
        from huggingface_hub.utils import get_session, hf_raise_for_status

        headers = {**self.headers, "Accept-Encoding": "identity", "Range": f"bytes={start}-{start + count - 1}"}
        about: dict[str, Any] = {"headers": headers, "timeout": SECONDS, "follow_redirects": True}
        with get_session().stream("GET", self.address, **about) as answer:
            hf_raise_for_status(answer)
            skip = 0 if answer.status_code == 206 else start
            got = bytearray()
            for chunk in answer.iter_raw():
                got += chunk[skip:] if skip < len(chunk) else b""
                skip = max(0, skip - len(chunk))
                if len(got) >= count:
                    break
        return bytes(got[:count])


def _chosen(requested: str, known: Sequence[str], field: str, ask: bool) -> str:
    """The name that was requested, or the default one.

    Raises:
        StudioError: for an unknown name, and for no name where `ask` is set and several names without a default exist.
    """
    if requested in known:
        return requested
    if not requested and (len(known) == 1 or DEFAULT in known or not ask):
        return DEFAULT if DEFAULT in known else known[0]
    flag = field.replace("_", "-")
    if field == "hub_config":
        missing, several = "There is no config {name} in this dataset.", "This dataset has several configs: choose one."
    else:
        missing, several = "There is no split {name} in this dataset.", "This dataset has several splits: choose one."
    raise StudioError(
        "bad-setting",
        missing.format(name=requested) if requested else several,
        valid=list(known)[:50],
        hint=(nearest(requested, known) if requested else "")
        or f"Choose one with --{flag}, or as hf:OWNER/NAME:CONFIG:SPLIT.",
        field=field,
    )


def _row_counts(card: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """(config, split) → rows, if the card has them."""
    info = card.get("dataset_info") or []
    counted = {}
    for each in [info] if isinstance(info, Mapping) else info:
        for split in each.get("splits") or [] if isinstance(each, Mapping) else []:
            if isinstance(split, Mapping) and isinstance(split.get("num_examples"), int):
                counted[str(each.get("config_name") or DEFAULT), str(split.get("name"))] = split["num_examples"]
    return counted


@contextmanager
def dataset_errors(name: str) -> Iterator[None]:
    """Turn exceptions of the library into errors about a dataset."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise StudioError(
            "gated-dataset",
            "You must accept the terms of this dataset on the Hub first.",
            given=name,
            hint=f"Sign in at https://huggingface.co/datasets/{name}, accept the terms, and add a token on the Model "
            "tab or with: studio token",
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        hint = (
            "Write it as OWNER/NAME, as in the address of its page. A private dataset needs a token with read access."
        )
        raise StudioError("no-such-dataset", NO_DATASET, given=name, hint=hint) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            hint = (
                "Create a token with read access at https://huggingface.co/settings/tokens. Add it on the Model tab or "
                "with: studio token"
            )
            raise StudioError(
                "gated-dataset",
                "The Hub needs a token for this dataset, or does not accept yours.",
                given=name,
                hint=hint,
            ) from error
        raise StudioError(
            "no-network", f"The Hub answered with error {status}.", given=name, hint="Try again in a few minutes."
        ) from error
    except httpx2.TransportError as error:
        raise StudioError(
            "no-network",
            "The Hub can't be reached from this machine.",
            given=name,
            hint="Check the internet connection, or use a file, pasted rows or sample data.",
        ) from error
