"""Style and script of the page, the libraries in them, and the compression of answers."""

import re
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.testclient import TestClient

from studio.ui.http import static

VENDOR = static.HERE / "vendor"


@pytest.fixture
def client() -> TestClient:
    """An application with the routes of style and script, an answer of 20 kB, a small one and a stream."""
    app = FastAPI()
    app.include_router(static.routes())

    @app.get("/large")
    def large() -> JSONResponse:
        return JSONResponse(["a row of text"] * 1500)

    @app.get("/small")
    def small() -> JSONResponse:
        return JSONResponse(["a row of text"])

    @app.get("/assets/index-abc.js")
    def asset() -> JSONResponse:
        return JSONResponse("a script of Gradio")

    @app.get("/stream")
    def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            for number in range(1000):
                yield f'{{"number": {number}}}\n'

        return StreamingResponse(lines(), media_type=static.STREAMED)

    return TestClient(static.Preload(app))


def test_large_answers_are_compressed_and_streams_are_not(client: TestClient) -> None:
    large = client.get("/large")
    assert large.headers["content-encoding"] == "gzip"
    assert int(large.headers["content-length"]) < 1000 and len(large.content) > 20_000
    assert "content-encoding" not in client.get("/large", headers={"accept-encoding": "identity"}).headers
    assert "content-encoding" not in client.get("/small").headers
    assert "content-encoding" not in client.get("/stream").headers


@pytest.mark.parametrize("kind", ["css", "js"])
def test_style_and_script_may_be_kept_under_the_hash_of_their_content(client: TestClient, kind: str) -> None:
    answer = client.get("/" + static.address(kind))
    assert answer.content == static.content(kind)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip" and "accept-encoding" in answer.headers["vary"].lower()
    plain = client.get("/" + static.address(kind), headers={"accept-encoding": "identity"})
    assert plain.content == static.content(kind) and "content-encoding" not in plain.headers
    assert client.get(f"/studio/static/studio.{kind}?other").headers["cache-control"] == "no-cache"
    assert client.get("/studio/static/studio.py").status_code == 404


def test_files_of_gradio_are_kept_by_the_browser_and_missing_ones_are_not(client: TestClient) -> None:
    assert client.get("/assets/index-abc.js").headers["cache-control"] == static.IMMUTABLE
    assert "cache-control" not in client.get("/assets/missing.js").headers


def test_a_file_of_gradio_is_made_once_for_each_encoding_and_served_from_memory() -> None:
    made: list[str] = []
    app = FastAPI()

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        made.append(name)
        return (
            Response("let one = 1; " * 500, headers={"ETag": '"1"'}) if name == "one.js" else Response(status_code=404)
        )

    client = TestClient(static.Preload(app))
    answers = [client.get("/assets/one.js") for _ in range(3)]
    assert made == ["one.js"]
    assert {each.headers["content-encoding"] for each in answers} == {"gzip"}
    assert {each.headers["cache-control"] for each in answers} == {static.IMMUTABLE}
    assert [dict(each.headers) for each in answers] == [dict(answers[0].headers)] * 3
    assert {each.text for each in answers} == {"let one = 1; " * 500}
    plain = [client.get("/assets/one.js", headers={"accept-encoding": "identity"}) for _ in range(2)]
    assert made == ["one.js"] * 2 and "content-encoding" not in plain[1].headers
    assert client.head("/assets/one.js").status_code == 405 and made == ["one.js"] * 2
    client.get("/assets/one.js", headers={"range": "bytes=0-9"})
    assert made == ["one.js"] * 3, "a part is not kept"
    assert [client.get("/assets/other.js").status_code for _ in range(2)] == [404, 404]
    assert made[3:] == ["other.js"] * 2, "what is missing is not kept"


def test_only_so_many_files_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "KEPT_ASSETS", 2)
    made: list[str] = []
    app = FastAPI()

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        made.append(name)
        return Response(name)

    client = TestClient(static.Preload(app))
    for name in ("one", "two", "three", "three", "two", "one"):
        assert client.get(f"/assets/{name}").text == name
    assert made == ["one", "two", "three", "one"]


def test_libraries_are_listed_with_version_and_license() -> None:
    readme = (VENDOR / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(https://\S+\) \| ([\d.]+) \| (.+?) \| .+? \|", readme, re.MULTILINE)
    assert rows
    listed = set()
    for name, version, files in rows:
        assert (VENDOR / f"{name}.LICENSE").stat().st_size > 300
        names = re.findall(r"`([^`/]+\.(?:js|css))`", files)
        assert any(version in (VENDOR / each).read_text(encoding="utf-8")[:300] for each in names), name
        listed |= set(names)
    assert listed == {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
