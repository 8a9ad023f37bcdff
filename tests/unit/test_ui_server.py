"""What the server refuses to start with, and the names of uploaded files."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.ui.http.security import is_loopback
from studio.ui.http.serve_options import ServeOptions
from studio.ui.http.server import listen, serve
from studio.ui.http.uploads import Uploads, not_kept, plain_name


def test_an_address_that_others_reach_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STUDIO_PASSWORD", "STUDIO_PASSWORD_FILE", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StudioError) as refused:
        serve(ServeOptions(tmp_path, "0.0.0.0", 0, open_browser=False))
    assert refused.value.code == "password-needed"
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and not is_loopback("0.0.0.0")


def test_a_taken_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StudioError) as refused:
            serve(ServeOptions(tmp_path, port=other.getsockname()[1], open_browser=False))
    assert refused.value.code == "port-taken"
    assert "--port" in refused.value.message


def test_answers_are_sent_without_waiting_for_more() -> None:
    """asyncio sets TCP_NODELAY only for sockets that name their protocol; without it each answer takes 40 ms more."""

    async def accepted(listening: socket.socket) -> int:
        nodelay: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            nodelay.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(note, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            try:
                return await nodelay
            finally:
                writer.close()

    assert asyncio.run(accepted(listen("127.0.0.1", 0)))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\rows\\a.csv", "a.csv"), ("<b>.csv", "b.csv"), ("", "file"), ("...", "file")],
)
def test_a_files_name_loses_its_path_and_what_file_systems_mind(given: str, kept: str) -> None:
    assert plain_name(given).strip("/") == kept


def test_a_long_name_is_cut_to_what_file_systems_take_and_keeps_its_ending() -> None:
    kept = plain_name("問" * 300 + ".csv")
    assert len(kept.encode()) < 255 and kept.endswith("問.csv")


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, "disk-full", "too little free space"),
        (errno.EDQUOT, "disk-full", "MB are free"),
        (errno.EACCES, "not-allowed", "could not save this file"),
    ],
)
def test_a_file_that_can_not_be_written_down_is_told_by_its_reason(
    number: int, code: str, words: str, tmp_path: Path
) -> None:
    told = not_kept(OSError(number, os.strerror(number)), tmp_path / "not" / "there")
    assert told.code == code and words in f"{told.what} {told.given}" and told.hint


def test_a_folder_for_uploads_that_can_not_be_made_is_a_plain_refusal(tmp_path: Path) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b"a"

    (tmp_path / "uploads").write_text("a file stands where the folder should")
    with pytest.raises(StudioError) as refused:
        asyncio.run(Uploads(tmp_path / "uploads").keep("default", "a.csv", nothing()))
    assert refused.value.code == "not-allowed" and "Traceback" not in refused.value.message
