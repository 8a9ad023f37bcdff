"""The served studio from a stranger's side: what is refused, whatever the page's own script would have sent.

Every request goes past the page, to `studio serve` in a process of its own: alone, as a demo, on a Space, with a
password.
"""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.events import ReplyEvent
from studio.schema.report import ExportResult, Metric, Report
from studio.schema.runs import RunSpec
from studio.store import Home
from studio.store.home import Workspace
from studio.ui.http.security import API_FOLDERS
from tests.browser.served import Served
from tests.real.asking import CALL, Asking

FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
ROWS = b"question,answer\n" + b"".join(b"Where is number %d?,Under the blue stone %d.\n" % (n, n) for n in range(20))
TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A public demo, started by somebody who has a Hub token."""
    os.environ["HF_TOKEN"] = TOKEN
    try:
        served = Served(tmp_path_factory.mktemp("demo") / "home", "--demo", "--limit", "workspaces_per_address=0")
    finally:
        del os.environ["HF_TOKEN"]
    yield served
    served.stop()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio of one person."""
    served = Served(tmp_path_factory.mktemp("alone") / "home")
    yield served
    served.stop()


@pytest.fixture
def anna(demo: Served) -> Asking:
    """A visitor of the demo, with rows of her own."""
    return visitor(demo)


@pytest.fixture
def ben(demo: Served) -> Asking:
    """Another one."""
    return visitor(demo)


def visitor(served: Served) -> Asking:
    return Asking(served, Asking(served).post("/studio/workspace").json["secret"])


def name_of(who: Asking) -> str:
    """The name of that visitor's workspace."""
    return Home(who.served.home).visitor_workspace(who.secret) or "default"


def space_of(who: Asking) -> Workspace:
    return Home(who.served.home).workspace(name_of(who))


def bring(who: Asking, content: bytes = ROWS, name: str = "stones.csv") -> str:
    """Upload rows; the id of the dataset."""
    ticket = who.upload(name, content).json["ticket"]
    assert "Your rows" in who.do("data-body", "file", ticket=ticket)
    return space_of(who).datasets.all()[0].id


def run_of(who: Asking) -> str:
    """A finished run of that visitor, with a reply, a report and an export."""
    space = space_of(who)
    spec = RunSpec(
        config=TrainingConfig(task="chat", model="starter-chat", name="secret stones"),
        dataset=bring(who),
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
        splits=SplitSpec(),
    )
    run = space.runs.create(spec).id
    space.events.append(run, ReplyEvent(step=0, prompt="Where?", text="Under the blue stone.", who="base", tokens=5))
    folder = space.runs.folder(run)
    for made in (folder.adapter, folder.exports / "adapter"):
        made.mkdir(parents=True)
        (made / "adapter_config.json").write_text("{}")
    packed = folder.exports / "adapter.zip"
    packed.write_bytes(b"blue stone")
    done = ExportResult(
        format="adapter", path=str(folder.exports / "adapter"), bytes=2, tested="", zip_path=str(packed)
    )
    (folder.exports / "adapter.json").write_text(done.model_dump_json())
    report = Report(split="test", rows=4, metrics={"loss": Metric(base=3, tuned=1)}, verdict="blue stone")
    folder.report.write_text(report.model_dump_json())
    space.runs.set_status(run, "finished", has_result=True)
    return run


# --- who may ask ---


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:7860",
        "localhost@evil",
        "",
        "[::1]evil.com",
        "127.0.0.1:evil.com",
    ],
)
@pytest.mark.parametrize("path", ["/", "/studio/bar", "/gradio_api/startup-events"])
def test_a_name_that_is_not_ours_is_answered_with_400(alone: Served, host: str, path: str) -> None:
    assert Asking(alone).get(path, host=host).status == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST:1"])
def test_names_of_this_machine_are_ours(alone: Served, host: str) -> None:
    assert Asking(alone).get("/", host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "file://", "http://127.0.0.1:1", "http://127.0.0.1"])
@pytest.mark.parametrize(
    "path", ["/studio/workspace", "/studio/ticket", "/studio/run/last/chat", "/gradio_api/component_server/"]
)
def test_a_page_from_elsewhere_can_change_nothing(alone: Served, origin: str, path: str) -> None:
    assert Asking(alone).post(path, {}, origin=origin).status == 403
    assert Asking(alone).ask("PUT", "/studio/upload", b"a", origin=origin).status == 403


def test_a_page_from_elsewhere_can_read_nothing(alone: Served) -> None:
    told = Asking(alone).get("/studio/bar", origin="http://evil.example")
    assert not [name for name in told.headers if name.startswith("access-control")]
    asked = Asking(alone).ask(
        "OPTIONS", "/gradio_api/component_server/", origin="http://evil.example", access_control_request_method="POST"
    )
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/studio/bar", "/studio/static/studio.js", "/theme.css", "/gradio_api/app_id"])
def test_every_answer_carries_the_content_policy_and_refuses_frames(alone: Served, path: str) -> None:
    told = Asking(alone).get(path)
    assert told.status == 200
    policy = told.headers["content-security-policy"]
    for rule in (
        "default-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ):
        assert rule in policy
    assert "huggingface" not in policy and "http:" not in policy and "*" not in policy
    assert told.headers["x-frame-options"] == "SAMEORIGIN"
    assert told.headers["x-content-type-options"] == "nosniff"


def test_on_a_space_hugging_face_may_frame_the_page_and_it_is_a_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    monkeypatch.setenv("SPACE_HOST", "someone-studio.hf.space")
    served = Served(tmp_path / "home")
    try:
        who = Asking(served)
        told = who.get("/", host="someone-studio.hf.space")
        assert told.status == 200
        assert told.headers["content-security-policy"].endswith("frame-ancestors 'self' https://huggingface.co")
        assert "x-frame-options" not in told.headers
        assert who.get("/", host="another.hf.space").status == 400
        at = {"host": "someone-studio.hf.space"}
        assert (
            len(who.post("/studio/workspace", None, origin="https://someone-studio.hf.space", **at).json["secret"])
            == 48
        )
        assert who.post("/studio/workspace", None, origin="https://evil.hf.space", **at).status == 403
        assert "access-control-allow-origin" not in who.get("/theme.css", origin="https://evil.example", **at).headers
        assert who.get("/studio/bar", **at).status == 403, "without a workspace nobody is answered"
    finally:
        served.stop()


# --- what is not there ---

CLOSED = (
    "/openapi.json",
    "/docs",
    "/redoc",
    "/config",
    "/config/",
    "/monitoring",
    "/monitoring/summary",
    "/gradio_api/info",
    "/gradio_api/info/",
    "/gradio_api/openapi.json",
    "/gradio_api/runs",
    "/gradio_api/call/run",
    "/gradio_api/call/v2/run",
    "/gradio_api/run/run",
    "/gradio_api/run/predict",
    "/gradio_api/api/run",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/gradio_api/component_server//",
    "/gradio_api/component_server/x",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/heartbeat/x",
    "/studio/press",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file/etc/passwd",
    "/gradio_api/proxy=http://127.0.0.1",
    "/gradio_api/stream/x",
    "/gradio_api/token",
    "/gradio_api/user",
    "/gradio_api/vibe-edit",
    "/gradio_api/dev/reload",
    "/gradio_api/deep_link",
    "/gradio_api/process_recording",
    "/gradio_api/custom_component/1/client/component/style.css",
    "/gradio_api/%69nfo",
    "/gradio_api/queue/../info",
    "/gradio_api/queue/join/../../info",
    "/%67radio_api/info",
    "//gradio_api/info",
    "/file=/etc/passwd",
    "/proxy=http://127.0.0.1",
    "/studio/ticket/../../etc/passwd",
    "/studio/static/studio.py",
)


@pytest.mark.parametrize("path", CLOSED)
def test_what_the_page_does_not_need_is_not_there(alone: Served, demo: Served, path: str) -> None:
    """The owner alone has the addresses of the named endpoints."""
    of_the_api = unquote(path).rstrip("/") == "/config" or unquote(path).startswith(API_FOLDERS)
    people = [Asking(demo)] if of_the_api else [Asking(demo), Asking(alone)]
    for told in (answer for who in people for answer in (who.get(path), who.post(path, {"data": []}))):
        assert told.status in (404, 405), (path, told.status)
        assert b"root:" not in told.body and b"fn_index" not in told.body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../routes.py",
        "/static/..%2f..%2froutes.py",
        "/assets/%2e%2e/%2e%2e/routes.py",
        "/svelte/..%2f..%2fapp.py",
        "/static//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/theme.css/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_gradios_own_files(alone: Served, path: str) -> None:
    told = Asking(alone).get(path)
    assert told.status in (403, 404) and b"root:" not in told.body and b"import" not in told.body


def test_an_act_is_never_longer_than_a_person_could_make_it(alone: Served) -> None:
    who = Asking(alone)
    assert who.ask("POST", CALL, b" " * 4_100_000).status == 413
    pieces = (b"%x\r\n%s\r\n" % (1_000_000, b" " * 1_000_000)) * 6 + b"0\r\n\r\n"
    told = who.ask("POST", CALL, pieces, transfer_encoding="chunked", content_type="application/json")
    assert told.status == 413


# --- hidden handlers, called by hand ---


def test_no_handler_lets_a_visitor_in_who_has_no_workspace(demo: Served, anna: Asking) -> None:
    bring(anna)
    for secret in ("", "default", "0" * 48, "../" + anna.secret, anna.secret[:-1], anna.secret.upper() + "x"):
        stranger = Asking(demo, secret)
        for region in ("page", "tab-data", "data-body", "model-body", "method-body", "runs-body", "chat-view"):
            said = stranger.do(region, "draw")
            assert "lost its workspace" in said and "stone" not in said


def test_no_handler_reads_a_file_whose_path_it_is_given(anna: Asking) -> None:
    for event in ({"act": "file", "ticket": FILE}, {"act": "paste", "pasted": FILE}, FILE, {"act": FILE}):
        said = anna.call({"page": anna.page, "region": "data-body", "said": event}).text
        said += anna.call({**FILE, "page": anna.page, "region": "data-body", "said": event}).text + anna.call(FILE).text
        assert "root:" not in said and "/root" not in said
    for ticket in ("/etc/passwd", "../../../../etc", "..", ".", "", "*", "%2e%2e", "\x00", "a" * 64):
        assert "was not received" in anna.do("data-body", "file", ticket=ticket)
    for act in ("reopen", "delete-data"):
        for dataset in ("/etc/passwd", "../default", "sample:support-tone", "hf:owner/name", "data-0000000000"):
            assert "There is no dataset" in anna.do("data-body", act, dataset=dataset)


def test_an_upload_is_known_to_nobody_but_its_sender(anna: Asking, ben: Asking) -> None:
    ticket = anna.upload("stones.csv", ROWS).json["ticket"]
    assert "was not received" in ben.do("data-body", "file", ticket=ticket)
    assert "was not received" in ben.do("data-body", "file", ticket=f"../{anna.secret}/{ticket}")
    assert "Your rows" in anna.do("data-body", "file", ticket=ticket)


def test_the_choices_of_one_page_do_not_leak_into_another_of_the_same_session(anna: Asking, ben: Asking) -> None:
    bring(anna)
    ben.page = anna.page
    assert "stone" not in ben.do("data-body", "view", value="rows")


@pytest.mark.parametrize("act", ["trust", "token", "folder", "download", "cancel"])
def test_a_demo_offers_no_token_no_folder_no_download_and_no_code_of_others(anna: Asking, act: str) -> None:
    anna.do("model-body", "task", value="chat")
    given = {"value": "/etc", "token": TOKEN, "name": "x/y"}
    assert "not available in a public demo" in anna.do("model-body", act, **given)
    home = Home(anna.served.home)
    assert not (home.root / "hub-token").exists() and not home.trusted_models()


@pytest.mark.parametrize("model", ["/etc", "HuggingFaceTB/SmolLM2-135M", "../starter-chat", str(Path.home())])
def test_a_demo_has_no_model_but_the_starters(anna: Asking, model: str) -> None:
    anna.do("model-body", "task", value="chat")
    assert "not available in a public demo" in anna.do("model-body", "model", value=model)


def test_nothing_of_a_demo_tells_where_it_lies_on_the_disk(anna: Asking) -> None:
    bring(anna)
    said = "".join(anna.do(region, "look") for region in ("model-body", "data-body", "method-body", "runs-body"))
    said += (
        anna.get("/").text + anna.do("data-body", "view", value="rows") + anna.do("model-body", "task", value="chat")
    )
    for place in (str(anna.served.home), str(Path.home()), sys.prefix):
        assert place not in said


# --- two visitors ---


def test_nobody_is_answered_about_anothers_run(anna: Asking, ben: Asking) -> None:
    run = run_of(anna)
    assert "stone" in anna.get(f"/studio/run/{run}/report.json").text
    assert anna.post("/studio/ticket", {"run": run, "format": "adapter"}).status == 200
    asked = [
        ben.get(f"/studio/run/{run}"),
        ben.get(f"/studio/run/{run}?after=0"),
        ben.get(f"/studio/run/{run}/log"),
        ben.get(f"/studio/run/{run}/report.json"),
        ben.get(f"/studio/run/{run}/report.html"),
        ben.post("/studio/ticket", {"run": run, "format": "adapter"}),
        ben.post(f"/studio/run/{run}/warm"),
        ben.post(f"/studio/run/{run}/chat", {"messages": [{"role": "user", "content": "Where?"}]}),
    ]
    for told in asked:
        assert told.status == 404 and told.json["error"]["code"] == "no-such-run"
        assert "stone" not in told.text
    assert ben.get(f"/studio/bar?run={run}").json == {"bar": None}
    nobody = Asking(ben.served, anna.secret[:-1] + "x")
    assert nobody.get(f"/studio/run/{run}").status == 403
    assert nobody.get("/studio/bar").status == 403


@pytest.mark.parametrize(
    ("region", "act", "field"),
    [
        ("runs-body", "open", "run"),
        ("runs-body", "rename", "run"),
        ("runs-body", "delete", "run"),
        ("runs-body", "resume", "run"),
        ("chat-view", "choose", "run"),
        ("data-body", "reopen", "dataset"),
        ("data-body", "delete-data", "dataset"),
        ("data-body", "rename-data", "dataset"),
        ("data-body", "duplicate-data", "dataset"),
    ],
)
def test_no_act_reaches_anothers_run_or_rows(anna: Asking, ben: Asking, region: str, act: str, field: str) -> None:
    run = run_of(anna)
    space = space_of(anna)
    before = space.runs.get(run), space.datasets.all()
    told = ben.do(region, act, **{field: run if field == "run" else before[1][0].id, "value": "mine now"})
    assert 'role=\\"alert\\"' in told and "There is no" in told
    assert "stone" not in told
    assert (space.runs.get(run), space.datasets.all()) == before


def test_a_run_named_in_the_address_of_another_is_not_shown(anna: Asking, ben: Asking) -> None:
    run = run_of(anna)
    ben.ask("GET", f"/?run={run}")
    assert run not in ben.do("page", "load", run=run) and run not in ben.do("tab-runs", "open")


def test_a_ticket_is_used_up_by_its_first_use(anna: Asking) -> None:
    link = anna.post("/studio/ticket", {"run": run_of(anna), "format": "adapter"}).json["link"]
    first, again = anna.get(link), anna.get(link)
    assert (first.status, first.body) == (200, b"blue stone")
    assert "attachment" in first.headers["content-disposition"]
    assert again.status == 403 and "has been used" in again.text


def test_no_format_leads_to_another_file(anna: Asking) -> None:
    run = run_of(anna)
    for name in ("../../studio.db", "/etc/passwd", "merged", "", "adapter/../adapter"):
        told = anna.post("/studio/ticket", {"run": run, "format": name})
        assert told.status == 400 and "link" not in told.json


# --- files on their way in ---


def test_a_file_beyond_the_limit_is_refused_and_nothing_of_it_stays(anna: Asking) -> None:
    told = anna.upload("large.csv", b"x" * 5_300_000)
    assert told.status == 413 and "The file is too large" in told.json["error"]["message"]
    assert not list((anna.served.home / "uploads" / name_of(anna)).iterdir())


@pytest.mark.parametrize(
    "name", ["../../../tmp/evil.csv", "..\\evil.csv", "/etc/cron.d/evil.csv", "evil\x00.csv", ".", ""]
)
def test_a_name_of_a_file_leads_nowhere(anna: Asking, name: str) -> None:
    ticket = anna.upload(name, ROWS).json["ticket"]
    folder = anna.served.home / "uploads" / name_of(anna) / ticket
    assert len(list(folder.iterdir())) == 1 and not Path("/tmp/evil.csv").exists()


def test_an_upload_is_gone_once_it_was_taken_or_refused(anna: Asking) -> None:
    bring(anna)
    ticket = anna.upload("broken.parquet", b"PAR1 but not really").json["ticket"]
    assert 'role=\\"alert\\"' in anna.do("data-body", "file", ticket=ticket)
    assert not list((anna.served.home / "uploads" / name_of(anna)).iterdir())


def test_an_upload_that_is_broken_off_leaves_nothing(anna: Asking) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", anna.served.port)) as line:
        head = ["PUT /studio/upload HTTP/1.1", "Host: 127.0.0.1", f"X-Studio-Workspace: {anna.secret}"]
        line.sendall("\r\n".join([*head, "Content-Length: 900000", "", "a,b"]).encode())
        time.sleep(0.5)
    folder = anna.served.home / "uploads" / name_of(anna)
    deadline = time.monotonic() + 10
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(folder.iterdir())


# --- secrets ---


def test_a_hub_token_is_kept_for_its_owner_only_and_never_shown(alone: Served) -> None:
    who, home = Asking(alone), Home(alone.home)
    said = who.do("model-body", "task", value="chat") + who.do("model-body", "token", token=TOKEN)
    file = home.root / "hub-token"
    assert file.read_text() == TOKEN and stat.S_IMODE(file.stat().st_mode) == 0o600
    run = run_of(who)
    said += who.get("/").text + who.do("model-body", "look") + who.get(f"/studio/run/{run}").text
    said += who.do("runs-body", "open", run="no such run")
    assert TOKEN not in said and TOKEN[3:] not in said
    for written in home.root.rglob("*"):
        if written.is_file() and written != file:
            assert TOKEN.encode() not in written.read_bytes(), written
    assert TOKEN not in alone.log.read_text()
    who.do("model-body", "forget-token")
    assert not file.exists()


def test_the_token_of_the_environment_is_nowhere_in_a_demo(demo: Served, anna: Asking) -> None:
    run = run_of(anna)
    said = anna.get("/").text + anna.get(f"/studio/run/{run}").text + anna.do("model-body", "task", value="chat")
    assert TOKEN not in said and TOKEN not in demo.log.read_text()
    for written in demo.home.rglob("*"):
        assert not written.is_file() or TOKEN.encode() not in written.read_bytes(), written


def test_an_unforeseen_error_is_told_by_a_number_and_its_log_has_no_token(anna: Asking) -> None:
    run = run_of(anna)
    folder = space_of(anna).runs.folder(run)
    folder.report.write_text("{ this is no report: " + TOKEN)
    told = anna.get(f"/studio/run/{run}/report.json")
    assert told.status == 500 and "Traceback" not in told.text and "log has the cause under" in told.text
    shown = anna.do("evaluate-body", "look") + anna.do("runs-body", "look")
    assert "Traceback" not in shown and 'File \\"' not in shown


# --- a password, where others can reach the page ---


def test_an_open_address_without_a_password_is_refused_with_status_2(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("STUDIO_PASS", "SPACE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "studio", "serve", "--host", "0.0.0.0", "--no-browser", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=bare,
    )
    assert done.returncode == 2
    assert "Given: 0.0.0.0" in done.stderr and "STUDIO_PASSWORD" in done.stderr and "Traceback" not in done.stderr


def test_a_password_lets_in_who_knows_it_and_slows_down_who_guesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_PASSWORD", "blue stone")
    served = Served(tmp_path / "home", "--host", "0.0.0.0")
    try:
        who = Asking(served)
        form = {"content_type": "application/x-www-form-urlencoded"}
        assert "Password" in who.get("/").text and "gradio_config" not in who.get("/").text
        for path in ("/studio/bar", "/studio/run/last", "/gradio_api/app_id", "/theme.css", "/studio/ticket/x"):
            assert who.get(path).status == 401
        for method, path in (("POST", CALL), ("PUT", "/studio/upload"), ("POST", "/studio/ticket")):
            assert who.ask(method, path, b"{}").status == 401
        seconds = []
        for guess in ("", "stone", "blue"):
            began = time.monotonic()
            assert who.ask("POST", "/login", f"password={guess}", **form).status == 403
            seconds.append(time.monotonic() - began)
        assert seconds[0] > 0.4 and seconds[2] > 2 * seconds[0], seconds
        told = who.ask("POST", "/login", "password=blue+stone", **form)
        cookie = told.headers["set-cookie"]
        assert told.status == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert "gradio_config" in who.get("/", cookie=cookie.split(";")[0]).text
        assert who.get("/studio/bar", cookie="studio-session=" + "x" * 43).status == 401
        assert who.ask("POST", "/login", "password=blue+stone", origin="http://evil.example", **form).status == 403
        broken = who.ask("POST", "/login", b"--x\r\nbroken", content_type="multipart/form-data; boundary=x")
        assert broken.status in (400, 403)
        assert "blue stone" not in served.log.read_text() and "Traceback" not in served.log.read_text()
    finally:
        served.stop()


# --- models that bring code ---


def llama_folder(folder: Path, **config: Any) -> Path:
    from tests.hubserver import tiny_folder

    tiny_folder(folder)
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, **config}))
    return folder


def test_a_model_with_code_of_its_own_is_not_run_unless_the_owner_allows_it(alone: Served, tmp_path: Path) -> None:
    who, ran = Asking(alone), tmp_path / "ran"
    coded = llama_folder(tmp_path / "coded", auto_map={"AutoModelForCausalLM": "evil.Evil"})
    (coded / "evil.py").write_text(f"open({str(ran)!r}, 'w').write('x')\nclass Evil: pass\n")
    bring(who)
    who.do("model-body", "task", value="chat")
    assert "Allow it only if you know and trust them" in who.do("model-body", "folder", value=str(coded))
    who.do("data-body", "view", value="tokens")
    for told in (who.do("method-body", "estimate"), who.do("method-body", "start"), who.do("data-body", "count")):
        assert "coded is not loaded" in told
    assert not ran.exists() and not Home(alone.home).trusted_models()


def test_pickled_weights_are_refused_before_anything_of_them_is_read(alone: Served, tmp_path: Path) -> None:
    who, ran = Asking(alone), tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return open, (str(ran), "w")

    import pickle

    pickled = llama_folder(tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    bring(who, ROWS + b"Where is the pickle?,In the jar.\n", "pickle.csv")
    who.do("model-body", "task", value="chat")
    assert "Allow it only if you know and trust them" in who.do("model-body", "folder", value=str(pickled))
    assert "is not loaded" in who.do("method-body", "start")
    assert not ran.exists()
