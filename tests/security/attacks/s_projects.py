"""Projects of the owner: reached by a visitor of a demo, named by a path, or imported from a made-up file."""

import io
import json
import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from studio.api import Studio
from studio.store import Home
from studio.store.projects import ProjectStore
from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.archives import Evil, Members, ran, zipped
from tests.security.stage import ROWS, Stage, Visitor
from tests.unit.test_run_management import made

SECRET = "grey-gravel.csv"
"""A dataset in a project of the owner."""


def owners(home: Path) -> tuple[str, str]:
    """A project of the owner in this data folder, with a dataset. Their ids."""
    with Studio(home) as studio:
        known = [each for each in ProjectStore(studio.home).all() if each.title == "Gravel"]
        project = known[0] if known else studio.projects.create("Gravel")
        inside = studio.visitor(project.id)
        kept = inside.datasets.all() or [inside.datasets.add_text(ROWS.decode(), SECRET)]
        return project.id, kept[0].id


ROUTES = ["GET /studio/bar", "GET /studio/data/{data}.csv", "GET /studio/labels/{data}.csv", "POST /studio/ticket"]


@attack("isolation", "A visitor of a demo names a project of the owner and asks {0}", ROUTES, quick=1)
def visitor_asks(stage: Stage, route: str) -> Outcome:
    project, data = owners(stage.demo.home)
    method, _, path = route.format(data=data).partition(" ")
    body = json.dumps({"run": "", "format": "project"}) if method == "POST" else None
    who = stage.visitor()
    answer = who.ask(method, path, body, x_studio_project=project, content_type="application/json")
    text = answer.body.decode(errors="replace")
    return outcome("stone" in text or "link" in text or "Gravel" in text, f"{answer.status}: {text[:120]}")


@attack("isolation", "A visitor of a demo sends an action for the project {0}", ["default", "OWNER"], quick=1)
def visitor_acts(stage: Stage, name: str) -> Outcome:
    project, data = owners(stage.demo.home)
    who = stage.visitor()
    chosen = project if name == "OWNER" else name
    answers = [
        who.call({"page": who.page, "region": region, "said": said, "project": chosen}).text
        for region, said in (("data-body", {"act": "library"}), ("data-body", {"act": "reopen", "dataset": data}))
    ]
    return outcome(any(SECRET in each or "stone" in each for each in answers), answers[0][:150])


ACTS = ["draw", "project-new", "project-rename", "project-name", "project-delete", "project-restore", "project-remove"]


@attack("isolation", "A visitor of a demo sends the action {0} of the dialog of projects", [*ACTS, "project-export"])
def visitor_manages(stage: Stage, act: str) -> Outcome:
    project, _ = owners(stage.demo.home)
    said = {"project": project, "value": "Mine", "new_title": "Mine"}
    shown = stage.visitor().acted("projects", act, **said)
    store = ProjectStore(Home(stage.demo.home))
    changed = not store.is_usable(project) or [each.title for each in store.all()] != ["Default", "Gravel"]
    return outcome(changed or "Gravel" in shown, shown[:150])


@attack("isolation", "A visitor of a demo asks in which project of the owner a run is", quick=True)
def visitor_finds(stage: Stage) -> Outcome:
    project, _ = owners(stage.demo.home)
    run = Home(stage.demo.home).root / "workspaces" / project / "runs" / "20260101-0000aaaa"
    run.mkdir(parents=True, exist_ok=True)
    answer = stage.visitor().post(f"/studio/workspace?run={run.name}", x_studio_project=project)
    return outcome(project in answer.text, answer.text[:120])


NAMES = [
    "../../etc",
    "..",
    "/etc",
    "project-0000000g",
    "default/../x",
    "VISITOR",
    "project-12345678",
    "x" * 5000,
    "%00",
]


@attack("paths", "A project is named {0}", NAMES, quick=2)
def named_by_path(stage: Stage, name: str) -> Outcome:
    """On the owner's own studio, so that nothing but the name is wrong."""
    owner = stage.owner()
    home = Home(owner.served.home)
    other = home.root / "workspaces" / f"visitor-{'a' * 32}"
    other.mkdir(exist_ok=True)
    before = sorted(path for path in home.root.rglob("*") if path.is_dir())
    chosen = other.name if name == "VISITOR" else name
    answers = [
        owner.get("/studio/bar", x_studio_project=chosen),
        owner.call({"page": owner.page, "region": "model-body", "said": {"act": "draw"}, "project": chosen}),
        owner.ask("PUT", "/studio/upload", b"x", x_file_name=quote("a.csv"), x_studio_project=chosen),
    ]
    new = [path for path in sorted(home.root.rglob("*")) if path.is_dir() and path not in before]
    accepted = answers[0].status == 200 or answers[2].status == 200 or "model-body" in answers[1].text
    return outcome(accepted or bool(new), f"{[each.status for each in answers]}, new: {new}; {answers[1].text[:150]}")


# --- files ---


def project_file(stage: Stage) -> Members:
    """The file of a project with a dataset and a run, as the studio makes it."""
    home = stage.folder / "of-a-stranger"
    with Studio(home) as studio:
        if not studio.datasets.all():
            made(studio, rows=studio.datasets.add_text(ROWS.decode(), "stones.csv").id)
        path = studio.projects.export("Default", stage.folder / "project.zip")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(members: Members, links: dict[str, str] | None = None) -> bytes:
    """Rows and runs are stored as they are, as in the studio's own files."""
    out = io.BytesIO(zipped({}, links))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            stored = name.endswith((".parquet", ".zip"))
            archive.writestr(name, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def with_run(members: Members, change: Callable[[Members], Members]) -> Members:
    """A file whose run is changed."""
    name = next(each for each in members if each.startswith("runs/"))
    with zipfile.ZipFile(io.BytesIO(members[name])) as archive:
        inner = {each: archive.read(each) for each in archive.namelist()}
    return {**members, name: zipped(change(inner))}


def described(members: Members, **changes: object) -> Members:
    return {**members, "project.json": json.dumps({**json.loads(members["project.json"]), **changes}).encode()}


def rows_as(members: Members, content: bytes) -> Members:
    return {name: content if name.endswith("rows.parquet") else kept for name, kept in members.items()}


FILES: list[tuple[str, Callable[[Stage, Members], bytes]]] = [
    ("a member named ../evil.json", lambda s, m: repacked({**m, "../evil.json": b"{}"})),
    ("a member named /tmp/evil.json", lambda s, m: repacked({**m, "/tmp/evil.json": b"{}"})),
    ("a dataset named ../../evil", lambda s, m: repacked({**m, "datasets/../../evil/v1/rows.parquet": b"{}"})),
    ("a link for its rows", lambda s, m: repacked(m, {"datasets/data-x/v1/rows.parquet": "/etc/passwd"})),
    ("a link for its folder of runs", lambda s, m: repacked(m, {"runs": "/etc"})),
    ("a database", lambda s, m: repacked({**m, "studio.db": b"SQLite format 3\0" + bytes(4000)})),
    ("a database for its rows", lambda s, m: repacked(rows_as(m, b"SQLite format 3\0" + bytes(4000)))),
    ("a pickle for its rows", lambda s, m: repacked(rows_as(m, pickle.dumps(Evil(ran(s)))))),
    ("a pickle in a checkpoint", lambda s, m: repacked({**m, "runs/x/optimizer.pt": pickle.dumps(Evil(ran(s)))})),
    (
        "a run with a pickle for weights",
        lambda s, m: repacked(
            with_run(m, lambda run: {**run, "adapter/adapter_model.bin": pickle.dumps(Evil(ran(s)))})
        ),
    ),
    (
        "a run with YAML that makes a Python object",
        lambda s, m: repacked(
            with_run(
                m,
                lambda run: {
                    **run,
                    "config.yaml": f"x: !!python/object/apply:os.system ['touch {ran(s)}']".encode(),
                },
            )
        ),
    ),
    (
        "a run with Python code",
        lambda s, m: repacked(
            with_run(m, lambda run: {**run, "adapter/evil.py": f"open({str(ran(s))!r}, 'w')".encode()})
        ),
    ),
    (
        "a run with a member named ../../evil.json",
        lambda s, m: repacked(with_run(m, lambda run: {**run, "../../evil.json": b"{}"})),
    ),
    ("a run named ../../evil", lambda s, m: repacked(described(m, runs=["../../evil"]))),
    ("a version that is a path", lambda s, m: repacked(described(m, datasets=[{"id": "..", "versions": ["../x"]}]))),
    ("300 MB of zeros in its labels", lambda s, m: zipped({**m, "labels/data-x.jsonl": bytes(300_000_000)})),
    ("200 MB of zeros for its rows", lambda s, m: zipped(rows_as(m, bytes(200_000_000)))),
    ("30,000 files", lambda s, m: repacked({**m, **{f"labels/data-{n}.json": b"{}" for n in range(30_000)}})),
    ("deep JSON for its description", lambda s, m: repacked({**m, "project.json": b"[" * 100_000 + b"]" * 100_000})),
    ("markup in its name", lambda s, m: repacked(described(m, title="<script>alert(9731)</script>"))),
    ("a name with line breaks", lambda s, m: repacked(described(m, title="a\n\u202e\x00b" * 20))),
]
HARMLESS = ("markup in its name", "a name with line breaks")
"""What may be imported, when it does no harm then."""


@attack("archives", "A project is imported whose file holds {0}", FILES, quick=2)
def imported(stage: Stage, payload: tuple[str, Callable[[Stage, Members], bytes]]) -> Outcome:
    """The owner imports a file that somebody gave them."""
    name, make = payload
    owner = stage.owner()
    home = Home(owner.served.home)
    ticket = owner.upload("project.zip", make(stage, project_file(stage))).json["ticket"]
    shown = owner.acted("projects", "file", tickets=ticket)
    until = time.monotonic() + 60
    while 'data-act="project-cancel"' in shown and time.monotonic() < until:
        time.sleep(0.3)
        shown = owner.acted("projects", "draw")
    new = [each for each in ProjectStore(home).all() if each.id != "default"]
    outside = [path for path in _outside(owner) if path.exists()]
    left = list((home.root / "importing").glob("*"))
    code = ran(stage).exists()
    live = "<script>alert(9731)" in shown + owner.acted("projects", "draw")
    odd = [
        path
        for each in new
        for path in (home.root / "workspaces" / each.id).rglob("*")
        if path.is_symlink() or path.suffix in (".py", ".bin", ".pt")
    ]
    for each in new:
        owner.acted("projects", "project-delete", project=each.id)
        owner.acted("projects", "project-remove", project=each.id)
    harm = bool(outside) or code or live or bool(odd) or bool(left)
    return outcome(
        harm or (bool(new) and name not in HARMLESS), f"{new}, {outside}, {odd}, code: {code}; {shown[:200]}"
    )


def _outside(owner: Visitor) -> list[Path]:
    home = owner.served.home
    folders = [home, home.parent, home / "importing", home / "workspaces", home / "workspaces" / "default"]
    return [Path("/tmp/evil.json"), *(folder / "evil.json" for folder in folders), home / "evil"]
