"""Entry points of PyTorch Hub before they run: names, archives of repositories, trust. Nothing here runs their code."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from studio.api import Studio
from studio.models import find_model
from studio.models.downloads import repository_archive as archives
from studio.models.sources import SOURCES, Fetching
from studio.schema.errors import StudioError
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import Handler, HubServer

HUBCONF = "from own import helper\n\ndef tiny(size='small'):\n    raise SystemExit\n\ndef _hidden():\n    pass\n"
NAME = "torchhub:someone/models:tiny"


class ArchiveServer(HubServer):
    """A small GitHub: one archive for every repository."""

    archive = b""

    @property
    def handler(self) -> type[Handler]:
        return ArchiveHandler


class ArchiveHandler(Handler):
    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        assert isinstance(self.server_hub, ArchiveServer)
        if path == "/someone/models/zipball/HEAD":
            self._send(self.server_hub.archive)
        else:
            self._json(404, {})


def zipped(files: dict[str, str], links: dict[str, str] | None = None) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"someone-models-1234567/{name}", text)
        for name, target in (links or {}).items():
            member = zipfile.ZipInfo(f"someone-models-1234567/{name}")
            member.external_attr = 0o120777 << 16
            archive.writestr(member, target)
    return memory.getvalue()


@pytest.fixture(autouse=True)
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    from huggingface_hub import constants

    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with ArchiveServer() as server:
        monkeypatch.setenv("GITHUB_SERVER_URL", server.url)
        server.archive = zipped({"hubconf.py": HUBCONF, "own/__init__.py": "raise SystemExit"})
        yield server


def test_an_entry_point_is_found_without_running_its_code_and_needs_trust(github: ArchiveServer) -> None:
    info = find_model(NAME)
    assert (info.source, info.title, info.here) == ("torchhub", "models, tiny", False)
    assert info.needs_trust and len(info.fingerprint) == 64 and not info.is_described
    find_model(NAME)
    assert len(github.seen) == 1, "the archive is downloaded once"
    with pytest.raises(StudioError, match="Python code of this repository") as refused:
        SOURCES["torchhub"].fetch(info, Fetching(lambda done, total: None))
    assert refused.value.code == "unsafe-model"


def test_an_entry_point_that_is_not_there_is_named_with_those_that_are(github: ArchiveServer) -> None:
    with pytest.raises(StudioError, match=r"no entry point of this name.*helper, tiny"):
        find_model("torchhub:someone/models:large")


def test_a_repository_without_hubconf_is_refused(github: ArchiveServer) -> None:
    github.archive = zipped({"README.md": "nothing"})
    with pytest.raises(StudioError, match=r"no hubconf\.py"):
        find_model(NAME)


@pytest.mark.parametrize(
    "name",
    [
        "torchhub:someone/models",
        "torchhub:someone:tiny",
        "torchhub:../../etc:tiny",
        "torchhub:someone/..:tiny",
        "torchhub:http://10.0.0.1/x:tiny",
        "torchhub:someone/models@../x:tiny",
        "torchhub:someone/models:tiny:a b",
    ],
)
def test_a_name_that_is_no_name_sends_no_request(github: ArchiveServer, name: str) -> None:
    with pytest.raises(StudioError) as refused:
        find_model(name)
    assert refused.value.code == "no-such-model" and not github.seen


def test_an_archive_writes_only_plain_files_below_its_folder(tmp_path: Path) -> None:
    evil = zipped({"hubconf.py": HUBCONF, "../../outside.py": "1"}, links={"link": "/etc/passwd"})
    archives.unpack_repository(io.BytesIO(evil), "someone/models", tmp_path / "files")
    assert [each.name for each in (tmp_path / "files").rglob("*")] == ["hubconf.py"]
    assert [each.name for each in tmp_path.iterdir() if each.name != "cache"] == ["files"]


def test_a_bomb_and_an_archive_that_is_none_are_refused(github: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    github.archive = zipped({"hubconf.py": HUBCONF, "zeros": "0" * 2_000_000})
    with pytest.raises(StudioError, match="too large"):
        find_model(NAME)
    github.archive = b"<html>Please log in to this network.</html>"
    with pytest.raises(StudioError, match="GitHub sent an answer that the studio can't read"):
        find_model(NAME)
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 1000)
    github.archive = b"x" * 5000
    with pytest.raises(StudioError, match="too large"):
        find_model(NAME)
    assert not list(Path(archives.os.environ["STUDIO_CACHE"]).rglob("hubconf.py"))


def test_a_damaged_archive_and_one_with_a_file_below_a_file_are_refused(github: ArchiveServer) -> None:
    good = zipped({"hubconf.py": HUBCONF * 50})
    damaged = bytearray(good)
    damaged[60:64] = b"\xff\xff\xff\xff"  # within the compressed text
    for archive in (bytes(damaged), good[:-30], zipped({"hubconf.py": HUBCONF, "hubconf.py/a/b": "1"})):
        github.archive = archive
        with pytest.raises(StudioError, match="GitHub sent an answer that the studio can't read"):
            find_model(NAME)


def test_two_requests_for_the_same_repository_at_once_are_both_answered(
    github: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.archive = zipped({"hubconf.py": HUBCONF})
    folder, unpack = tmp_path / "code", archives.unpack_repository

    def unpack_while_another_is_first(archive: BinaryIO, repository: str, target: Path) -> None:
        unpack(archive, repository, target)
        monkeypatch.setattr(archives, "unpack_repository", unpack)
        archives.download_repository("someone/models", "HEAD", folder)

    monkeypatch.setattr(archives, "unpack_repository", unpack_while_another_is_first)
    archives.download_repository("someone/models", "HEAD", folder)
    assert (folder / "hubconf.py").read_text() == HUBCONF
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".new-")] == []


def test_only_the_owner_may_trust_it_and_only_the_code_that_was_shown(
    github: ArchiveServer, visit: Callable[..., Visit], tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    name = f"torchhub:{folder}:tiny"
    visit().choose(task="chat", model="starter-chat")
    model_tab.search_models(visit(value=name))
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    assert f'value="{name}"' in "".join(map(str, model_tab._models(visit(), parts).values()))
    model_tab.pick_model(visit(value=name))
    assert "Allow this model" in "".join(map(str, model_tab._models(visit(), parts).values()))
    studio = visit().studio
    seen = studio.models.find(name).fingerprint
    (folder / "more.py").write_text("import os")
    with pytest.raises(StudioError, match="has changed"):
        studio.models.trust(name, True, seen)
    guest = Studio(tmp_path / "demo", demo=True)
    with pytest.raises(StudioError, match="demo"):
        guest.models.get(name)


def test_offline_the_reason_is_said(github: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StudioError, match="PyTorch Hub is not used, because HF_HUB_OFFLINE is set"):
        find_model(NAME)
    assert not github.seen
