"""Secrets on the machine, headers of answers, and what stays behind."""

import stat
import time
from pathlib import Path

import psutil

from studio.ui.http.security import CALL
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import TOKEN, Stage, Visitor, log_of, processes_of


@attack("secrets", "The name of a folder is the secret of a visitor", quick=True)
def folder_names(stage: Stage) -> Outcome:
    who = stage.anna
    names = [str(path.relative_to(who.served.home)) for path in who.served.home.rglob("*")]
    hits = [name for name in names if who.secret in name]
    return outcome(bool(hits), f"{hits[:2]}")


@attack("secrets", "The secret of a visitor stands in a file")
def in_files(stage: Stage) -> Outcome:
    who = stage.trained[0]
    hits = [
        str(path) for path in who.served.home.rglob("*") if path.is_file() and who.secret.encode() in path.read_bytes()
    ]
    return outcome(bool(hits), f"{hits[:3]}")


@attack("secrets", "The secret of a visitor stands in the arguments of a process")
def in_arguments(stage: Stage) -> Outcome:
    who = stage.visitor()
    who.sample()
    who.start(max_steps="300")
    hits = []
    for _ in range(30):
        hits += [
            each.name()
            for each in processes_of(who.served)
            if each.is_running() and who.secret in " ".join(_words(each))
        ]
        if hits:
            break
        time.sleep(0.1)
    who.stop_runs()
    return outcome(bool(hits), f"{hits[:3]}")


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@attack("secrets", "The owner's Hub token is in the environment of a process that works for a visitor", quick=False)
def in_environment(stage: Stage) -> Outcome:
    who = stage.visitor()
    who.sample()
    who.start(max_steps="300")
    hits = []
    for _ in range(50):
        for each in processes_of(who.served):
            try:
                if TOKEN in " ".join(each.environ().values()):
                    hits.append(" ".join(each.cmdline()[-6:])[:120])
            except psutil.Error:
                continue
        if hits:
            break
        time.sleep(0.1)
    who.stop_runs()
    return outcome(bool(hits), f"{hits[:2]}")


@attack("secrets", "The secret or the token stands in the log")
def in_the_log(stage: Stage) -> Outcome:
    text = log_of(stage.demo)
    return outcome(stage.anna.secret in text or TOKEN in text, text[-100:])


@attack("secrets", "The owner's token stands in the page, a run, an archive or the home of a demo")
def token_on_the_disk(stage: Stage) -> Outcome:
    who, run = stage.trained
    text = (
        who.get("/").text
        + who.get(f"/studio/run/{run}").text
        + who.get(f"/studio/run/{run}/log").text
        + who.acted("model-body", "look")
    )
    hits = [str(path) for path in who.served.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    return outcome(TOKEN in text or bool(hits), f"{hits[:2]}")


@attack("secrets", "Another user of the machine can list {0}", ["workspaces", "uploads", "."])
def modes(stage: Stage, name: str) -> Outcome:
    stage.anna.upload("a.csv", b"a,b\n1,2\n")
    root = stage.demo.home
    folders = [path for path in (root / name).glob("*") if path.is_dir()] if name != "." else [root / "workspaces"]
    parents = [root / name] if name != "." else []
    open_ones = [
        path.name[:12] for path in folders if _others_may(path) and not any(not _others_may(each) for each in parents)
    ]
    return outcome(bool(open_ones), f"{len(open_ones)} of {len(folders)} folders: {open_ones[:2]}")


def _others_may(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IROTH | stat.S_IXOTH))


@attack("secrets", "Secret files of the home can be read by others")
def secret_files(stage: Stage) -> Outcome:
    stage.anna.get("/studio/bar")
    hits = [path.name for path in stage.demo.home.iterdir() if path.suffix == ".secret" and _others_may(path)]
    return outcome(bool(hits), str(hits))


@attack("secrets", "A temporary folder stays after the server was told to end (SIGTERM)", quick=True)
def temporary_folder(stage: Stage) -> Outcome:
    served = stage.serve("--demo")
    Visitor(served).get("/")
    temporary = Path(served.environment["TMPDIR"])
    served.stop()
    time.sleep(0.2)
    left = [path.name for path in temporary.iterdir()]
    return outcome(any(name.startswith("studio-") for name in left), f"left: {left}")


REFUSED = [
    ("a wrong host", "/", {"host": "evil.example"}),
    ("an unknown address", "/gradio_api/info", {}),
    ("a closed address", "/config", {}),
    ("a page from elsewhere", "POST /studio/workspace", {"origin": "http://evil.example"}),
    ("a missing file", "/studio/static/x.js", {}),
    ("a refusal of the workspace", "/studio/bar", {}),
    ("an action that is no JSON", "POST /gradio_api/component_server/", {"content_type": "application/json"}),
    ("an action that is a form", "POST /gradio_api/component_server/", {}),
    ("the closed event queue", "POST /gradio_api/queue/join", {}),
]
NEEDED = {
    "content-security-policy": "default-src",
    "x-content-type-options": "nosniff",
    "referrer-policy": "",
    "cross-origin-opener-policy": "",
    "cross-origin-resource-policy": "",
    "permissions-policy": "",
}


@attack("headers", "The answer to {0} lacks a security header", REFUSED, quick=1)
def headers_of_refusals(stage: Stage, payload: tuple[str, str, dict[str, str]]) -> Outcome:
    _, path, headers = payload
    method, _, place = path.rpartition(" ")
    answer = Visitor(stage.demo).ask(method or "GET", place, None if not method else b"", **headers)
    lacking = [name for name, value in NEEDED.items() if value not in answer.headers.get(name, "\0")]
    return outcome(bool(lacking), f"status {answer.status}, without {lacking}")


@attack(
    "headers",
    "{0} lacks a security header",
    ["/", "/studio/static/studio.js", "/theme.css", "/gradio_api/startup-events"],
)
def headers_of_answers(stage: Stage, path: str) -> Outcome:
    answer = Visitor(stage.alone, address="127.0.0.1").get(path)
    lacking = [name for name, value in NEEDED.items() if value not in answer.headers.get(name, "\0")]
    return outcome(bool(lacking), f"status {answer.status}, without {lacking}")


RULES = ["object-src 'none'", "base-uri 'self'", "form-action 'self'", "frame-ancestors 'self'", "connect-src 'self'"]


@attack("headers", "The content policy lacks {0}", RULES)
def content_policy(stage: Stage, rule: str) -> Outcome:
    policy = Visitor(stage.demo).get("/").headers.get("content-security-policy", "")
    return outcome(rule not in policy or "http:" in policy or " * " in policy, policy)


@attack("headers", "Another site may read the answers ({0})", ["http://evil.example", "null", "https://huggingface.co"])
def cross_origin_reading(stage: Stage, origin: str) -> Outcome:
    who = stage.anna
    answers = [who.get(path, origin=origin) for path in ("/studio/bar", "/theme.css", "/", CALL)]
    answers.append(who.ask("OPTIONS", CALL, None, origin=origin, access_control_request_method="POST"))
    allowed = [name for answer in answers for name in answer.headers if name.startswith("access-control-allow")]
    return outcome(bool(allowed), str(allowed))


@attack("headers", "The server names itself and its version")
def server_header(stage: Stage) -> Outcome:
    answer = Visitor(stage.demo).get("/")
    return outcome("server" in answer.headers or "x-powered-by" in answer.headers, str(answer.headers.get("server")))


@attack("headers", "A private answer is kept by caches")
def caches(stage: Stage) -> Outcome:
    who, run = stage.trained
    kept = [
        path
        for path in ("/studio/bar", f"/studio/run/{run}", f"/studio/run/{run}/log", f"/studio/run/{run}/curve.csv")
        if "no-store" not in who.get(path).headers.get("cache-control", "")
    ]
    return outcome(bool(kept), str(kept))


@attack("secrets", "A workspace can be guessed from others' secrets or from the time")
def guessed_secrets(stage: Stage) -> Outcome:
    who = Visitor(stage.demo)
    secrets = [who.post("/studio/workspace").json.get("secret", "") for _ in range(4)]
    common = next((at for at, letters in enumerate(zip(*secrets, strict=False)) if len(set(letters)) > 1), 48)
    return outcome(common > 6 or any(len(each) < 32 for each in secrets), f"they share {common} letters")


CHANGED = ["first", "last", "middle", "swap", "signature of another", "upper", "half", "twice", "zero", "space"]


@attack("secrets", "A secret whose {0} part was changed opens a workspace", CHANGED)
def changed_secrets(stage: Stage, how: str) -> Outcome:
    good = stage.anna.secret
    other = Visitor(stage.demo).begin().secret

    def flip(at: int) -> str:
        return good[:at] + ("0" if good[at] != "0" else "1") + good[at + 1 :]

    bad = {
        "first": flip(0),
        "last": flip(47),
        "middle": flip(24),
        "swap": good[24:] + good[:24],
        "signature of another": good[:24] + other[24:],
        "upper": good.upper(),
        "half": good[:24],
        "twice": good + good,
        "zero": "0" * 48,
        "space": good + " x",
    }[how]
    if bad == good:
        bad = good[:-1] + "g"
    answer = Visitor(stage.demo, bad).get("/studio/bar")
    return outcome(answer.status == 200, f"status {answer.status}")
