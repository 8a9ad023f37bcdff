"""Paths that lead out of where they should stay."""

from pathlib import Path
from urllib.parse import quote

from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.s11_malformed import send_raw
from tests.security.stage import ROWS, Stage, Visitor

NAMES = [
    "../../../tmp/evil.csv",
    "..\\..\\evil.csv",
    "/etc/cron.d/evil.csv",
    "evil\x00.csv",
    ".",
    "..",
    "",
    "a/b/c.csv",
    "C:\\evil.csv",
    "\\\\host\\share\\evil.csv",
    "....//evil.csv",
    "%2e%2e%2fevil.csv",
    "CON.csv",
    "a" * 5_000 + ".csv",
    "\u202evsc.evil.csv",
    "evil.csv\n",
    "~/.bashrc",
    "|id.csv",
    "-rf.csv",
    "$(id).csv",
]


@attack("paths", "An upload named {0} leaves its folder", NAMES, quick=1)
def upload_names(stage: Stage, name: str) -> Outcome:
    who = stage.visitor()
    answer = who.upload(name.encode("utf-8", "replace").decode(), ROWS)
    if answer.status != 200:
        return outcome(answer.status >= 500, f"{answer.status}: {answer.text[:80]}")
    ticket = answer.json["ticket"]
    found = [path for path in stage.demo.home.rglob("*") if ticket in str(path) and path.is_file()]
    outside = Path("/tmp/evil.csv").exists() or Path("/etc/cron.d/evil.csv").exists()
    good = len(found) == 1 and found[0].parent.name == ticket
    who.acted("data-body", "file", ticket=ticket)
    return outcome(outside or not good, f"{[str(path)[-80:] for path in found]}")


TICKETS = [
    "/etc/passwd",
    "../../../../etc",
    "..",
    ".",
    "*",
    "%2e%2e",
    "a" * 64,
    "../..",
    "\x00",
    "{home}/workspaces",
    "~",
    "file:///etc/passwd",
]


@attack("paths", "The ticket {0} reads a file", TICKETS)
def tickets(stage: Stage, ticket: str) -> Outcome:
    who = stage.visitor()
    shown = who.acted("data-body", "file", ticket=ticket.format(home=stage.demo.home))
    return outcome(bool(who.datasets()) or "root:x:" in shown, shown[:120])


FORMATS = [
    "../../studio.db",
    "/etc/passwd",
    "adapter/../adapter",
    "",
    "adapter\x00",
    "..",
    "run/../../../home-limits.json",
    "adapter.zip",
    "*",
    "checkpoints",
    "log",
    "config.yaml",
]


@attack("paths", "The export format {0} reads another file", FORMATS)
def formats(stage: Stage, form: str) -> Outcome:
    who, run = stage.trained
    answer = who.post("/studio/ticket", {"run": run, "format": form})
    shown = who.acted("export-actions", "export", format=form)
    return outcome("link" in answer.text or "root:x:" in shown, f"{answer.status}: {answer.text[:100]}")


RUNS = [
    "../../../etc/passwd",
    "..%2f..%2fstudio.db",
    "%2e%2e",
    "/etc/passwd",
    "last/../../x",
    "..",
    ".",
    "%00",
    "last%00",
    "*",
    "-",
    "last;id",
]


@attack("paths", "A run named {0} reads a file", RUNS)
def runs(stage: Stage, run: str) -> Outcome:
    who = stage.trained[0]
    texts = []
    for ending in ("", "/log", "/report.json", "/curve.csv"):
        answer = who.get(f"/studio/run/{quote(run, safe='%/;*')}{ending}")
        texts.append((answer.status, answer.body))
    bad = [status for status, body in texts if b"root:x:" in body or b"SQLite format" in body or status >= 500]
    return outcome(bool(bad), str([status for status, _ in texts]))


STATIC = [
    "/static/../routes.py",
    "/static/..%2f..%2froutes.py",
    "/assets/%2e%2e/%2e%2e/routes.py",
    "/svelte/..%2f..%2fapp.py",
    "/static//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/theme.css/../../etc/passwd",
    "/studio/static/..%2fserver.py",
    "/studio/static/%2e%2e/server.py",
    "/studio/static//etc/passwd",
    "/studio/static/....//server.py",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file/etc/passwd",
    "/file=/etc/passwd",
    "/gradio_api/file=../../etc/passwd",
    "/gradio_api/%66ile=/etc/passwd",
    "//gradio_api/file=/etc/passwd",
    "/gradio_api/queue/../file=/etc/passwd",
    "/gradio_api/heartbeat/../file=/etc/passwd",
    "/gradio_api/proxy=http://127.0.0.1:1",
    "/gradio_api/custom_component/1/client/component/style.css",
    "/gradio_api/stream/x",
    "/gradio_api/deep_link",
    "/gradio_api/vibe-edit",
    "/gradio_api/dev/reload",
    "/static/img/../../../../../etc/passwd",
    "/assets/..\\..\\routes.py",
    "/static/%c0%ae%c0%ae/routes.py",
    "/studio/ticket/..%2f..%2fstudio.db",
    "/gradio_api/heartbeat/..%2ffile=/etc/passwd",
]


@attack("paths", "GET {0} reads a file of the server or leads elsewhere", STATIC, quick=2)
def static_files(stage: Stage, path: str) -> Outcome:
    answer = send_raw(
        stage.demo, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{stage.demo.port}\r\nConnection: close\r\n\r\n".encode()
    )
    status = int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    leaked = b"root:x:" in answer or b"\nimport " in answer or b"SQLite format" in answer
    return outcome(leaked or status >= 500 or status == 200, f"status {status}")


CLOSED = [
    "/openapi.json",
    "/docs",
    "/redoc",
    "/config",
    "/config/",
    "/monitoring",
    "/monitoring/summary",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/call/run",
    "/gradio_api/run/predict",
    "/gradio_api/api/predict",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/gradio_api/component_server//",
    "/gradio_api/component_server/x",
    "/component_server/",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/queue/status",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/heartbeat/x",
    "/studio/press",
    "/gradio_api/token",
    "/gradio_api/user",
    "/gradio_api/mcp",
    "/gradio_api/mcp/sse",
    "/gradio_api/process_recording",
    "/gradio_api/runs",
    "/gradio_api/call/v2/run",
    "/gradio_api/%69nfo",
    "/pwa_icon",
    "/login/oauth",
    "/proxy=http://127.0.0.1",
]


@attack("paths", "{0} of Gradio is open", CLOSED)
def closed_addresses(stage: Stage, path: str) -> Outcome:
    who = Visitor(stage.demo, stage.anna.secret)
    answers = who.get(path), who.post(path, {"data": []})
    statuses = [each.status for each in answers]
    leaked = any(b"fn_index" in each.body or b"dependencies" in each.body for each in answers)
    return outcome(leaked or any(each not in (404, 405) for each in statuses), str(statuses))


FILES = [
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "/proc/self/environ", "meta": {"_type": "gradio.FileData"}},
    {"url": "file:///etc/passwd", "path": "x", "meta": {"_type": "gradio.FileData"}},
    {"path": "../../../../etc/passwd"},
]


@attack("paths", "A handler reads the file {0} that it is given", FILES)
def file_data(stage: Stage, file: dict[str, object]) -> Outcome:
    who = stage.visitor()
    shown = (
        who.acted("data-body", "file", ticket=file)
        + who.acted("data-body", "paste", pasted=file)
        + who.acted("model-body", "model", value=file)
    )
    return outcome("root:x:" in shown or "HF_TOKEN" in shown, shown[:100])
