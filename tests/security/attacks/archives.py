"""Archives of runs and files that reach beyond their folder, run code, or are bombs, when they are taken in."""

import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.s10_paths import archive_of
from tests.security.stage import Stage, time_call, wait_for

Members = dict[str, bytes]


def good(stage: Stage) -> Members:
    """The archive of a run, as the studio makes it."""
    who, run = stage.trained
    with zipfile.ZipFile(io.BytesIO(archive_of(who, run, "run"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Members, links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return out.getvalue()


class Evil:
    """What runs when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.place), "w")


def ran(stage: Stage) -> Path:
    return stage.folder / "code-of-an-archive-ran"


def changed(members: Members, name: str, change: Callable[[str], str]) -> Members:
    return {**members, name: change(members[name].decode()).encode()}


def adapter(members: Members) -> str:
    return next(name for name in members if name.endswith("adapter_config.json"))


RUNS: list[tuple[str, Callable[[Stage, Members], bytes]]] = [
    ("a member named ../evil.json", lambda s, m: zipped({**m, "../evil.json": b"{}"})),
    ("a member named /tmp/evil.json", lambda s, m: zipped({**m, "/tmp/evil.json": b"{}"})),
    ("a member named adapter/../../evil.json", lambda s, m: zipped({**m, "adapter/../../evil.json": b"{}"})),
    ("a member named ..\\evil.json", lambda s, m: zipped({**m, "..\\evil.json": b"{}"})),
    ("a link to /etc/passwd", lambda s, m: zipped(m, {"adapter/README.md": "/etc/passwd"})),
    ("a link for its folder", lambda s, m: zipped(m, {"model": "/etc"})),
    (
        "Python code beside the adapter",
        lambda s, m: zipped({**m, "adapter/evil.py": f"open({str(ran(s))!r}, 'w')".encode()}),
    ),
    ("a pickle for weights", lambda s, m: zipped({**m, "adapter/adapter_model.bin": pickle.dumps(Evil(ran(s)))})),
    (
        "a pickled optimizer in a checkpoint",
        lambda s, m: zipped({**m, "checkpoints/step-1/optimizer.pt": pickle.dumps(Evil(ran(s)))}),
    ),
    (
        "a pickled training_args.bin",
        lambda s, m: zipped({**m, "adapter/training_args.bin": pickle.dumps(Evil(ran(s)))}),
    ),
    (
        "a pickle that is called safetensors",
        lambda s, m: zipped({**m, "adapter/adapter_model.safetensors": pickle.dumps(Evil(ran(s)))}),
    ),
    (
        "auto_map in its configuration",
        lambda s, m: zipped({**m, "model/config.json": b'{"auto_map": {"AutoModel": "evil.Evil"}}'}),
    ),
    (
        "a model by a path in its settings",
        lambda s, m: zipped(changed(m, "config.yaml", lambda t: t.replace("model: starter-chat", "model: /etc"))),
    ),
    (
        "rows by a path in its settings",
        lambda s, m: zipped(changed(m, "config.yaml", lambda t: _line(t, "dataset", "../../default/x"))),
    ),
    (
        "YAML that makes a Python object",
        lambda s, m: zipped(
            changed(
                m, "config.yaml", lambda t: t + "\nx: !!python/object/apply:os.system ['touch " + str(ran(s)) + "']\n"
            )
        ),
    ),
    ("YAML anchors that grow to gigabytes", lambda s, m: zipped(changed(m, "config.yaml", lambda t: t + _laughs()))),
    (
        "a base model elsewhere in its adapter",
        lambda s, m: zipped(
            changed(m, adapter(m), lambda t: json.dumps({**json.loads(t), "base_model_name_or_path": "/etc/evil"}))
        ),
    ),
    (
        "a base model of a Hub in its adapter",
        lambda s, m: zipped(
            changed(m, adapter(m), lambda t: json.dumps({**json.loads(t), "base_model_name_or_path": "evil/model"}))
        ),
    ),
    ("an id that is a path", lambda s, m: zipped(changed(m, "run.json", lambda t: _id(t, "../../default")))),
    ("deep JSON for its state", lambda s, m: zipped({**m, "run.json": b"[" * 100_000 + b"]" * 100_000})),
    ("1,000 files", lambda s, m: zipped({**m, **{f"adapter/{n}.json": b"{}" for n in range(1_000)}})),
    ("300 MB of zeros in a text", lambda s, m: zipped({**m, "events.jsonl": b" " * 300_000_000})),
    (
        "markup in its name",
        lambda s, m: zipped(changed(m, "run.json", lambda t: _name(t, "<script>alert(9731)</script>"))),
    ),
    ("the same name twice", lambda s, m: _twice(m)),
    ("a database", lambda s, m: zipped({**m, "studio.db": b"SQLite format 3\0"})),
    ("no settings", lambda s, m: zipped({name: text for name, text in m.items() if name != "config.yaml"})),
]


def _line(text: str, name: str, value: str) -> str:
    return "\n".join(f"{name}: {value}" if line.startswith(f"{name}:") else line for line in text.splitlines())


def _id(text: str, value: str) -> str:
    document = json.loads(text)
    document["run"]["id"] = value
    return json.dumps(document)


def _name(text: str, value: str) -> str:
    document = json.loads(text)
    document["run"]["name"] = value
    return json.dumps(document)


def _laughs() -> str:
    return "\na0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def _twice(members: Members) -> bytes:
    import warnings

    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in [*members.items(), ("config.yaml", b"model: /etc\n")]:
            archive.writestr(name, content)
    return out.getvalue()


HARMLESS = (
    "markup in its name",
    "a base model elsewhere in its adapter",
    "a base model of a Hub in its adapter",
    "an id that is a path",
    "a pickle that is called safetensors",
    "a model by a path in its settings",
    "300 MB of zeros in a text",
)
"""What may be taken in, when it does no harm then."""


@attack("archives", "A run is taken in whose archive holds {0}", RUNS)
def taken_in(stage: Stage, payload: tuple[str, Callable[[Stage, Members], bytes]]) -> Outcome:
    """The owner takes in a file that somebody gave them."""
    name, make = payload
    owner = stage.owner()
    before = {run.id for run in owner.runs()}
    ticket = owner.upload("run.zip", make(stage, good(stage))).json["ticket"]
    shown = owner.acted("runs-body", "file", tickets=ticket)
    new = [run.id for run in owner.runs() if run.id not in before]
    outside = [
        str(path)
        for path in (
            Path("/tmp/evil.json"),
            owner.served.home / "evil.json",
            owner.space.root / "evil.json",
            owner.space.root / "runs" / "evil.json",
        )
        if path.exists()
    ]
    code = ran(stage).exists()
    live = "<script>alert(9731)" in shown + owner.acted("runs-body", "look")
    links = [
        path
        for run in new
        for path in (owner.space.root / "runs" / run).rglob("*")
        if path.is_symlink() or path.suffix in (".py", ".bin", ".pt")
    ]
    for run in new:  # whatever was taken in is used
        owner.patience = 30
        time_call(
            lambda run=run: owner.post(f"/studio/run/{run}/chat", {"messages": [{"role": "user", "content": "Hi"}]})
        )
        code = code or ran(stage).exists()
        owner.acted("runs-body", "delete", run=run)
    return outcome(
        bool(outside) or code or live or bool(links) or (bool(new) and name not in HARMLESS),
        f"taken in: {new}, outside: {outside}, code ran: {code}; {shown[:200]}",
    )


@attack("archives", "A pickle in the checkpoint of a run is loaded when it is resumed")
def pickled_checkpoint(stage: Stage) -> Outcome:
    """A file that lies beside a safetensors checkpoint, as a run copied by hand might have it."""
    owner = stage.owner()
    before = {run.id for run in owner.runs()}
    members = good(stage)
    members = {**members, "checkpoints/checkpoint-1/rng_state.pth": pickle.dumps(Evil(ran(stage)))}
    ticket = owner.upload("run.zip", zipped(members)).json["ticket"]
    shown = owner.acted("runs-body", "file", tickets=ticket)
    for run in owner.runs():
        if run.id not in before:
            owner.acted("runs-body", "resume", run=run.id)
    wait_for(lambda: ran(stage).exists() or not owner.active(), 120)
    return outcome(ran(stage).exists(), shown[:120])


@attack("archives", "A visitor of a demo takes in a run from a file", quick=True)
def visitor_takes_in(stage: Stage) -> Outcome:
    who = stage.visitor()
    ticket = who.upload(
        "run.zip",
        zipped(good(stage)) if "trained" in stage.__dict__ else zipped({"config.yaml": b"", "run.json": b"{}"}),
    ).json["ticket"]
    shown = who.acted("runs-body", "file", tickets=ticket)
    return outcome(bool(who.runs()), shown[:150])


FILES: list[tuple[str, Callable[[], bytes]]] = [
    ("../evil.csv", lambda: zipped({"../evil.csv": b"question,answer\na,b\n"})),
    ("/tmp/evil.csv", lambda: zipped({"/tmp/evil.csv": b"question,answer\na,b\n"})),
    ("..\\evil.csv", lambda: zipped({"..\\evil.csv": b"question,answer\na,b\n"})),
    ("a link to /etc/passwd", lambda: zipped({}, {"rows.csv": "/etc/passwd"})),
    (
        "a link to the database",
        lambda: zipped({"a.csv": b"question,answer\na,b\n"}, {"rows.csv": "../../../studio.db"}),
    ),
    (
        "a name with a zero byte",
        lambda: zipped({"rows.csv": b"question,answer\na,b\n"}).replace(b"rows.csv", b"ro\0s.csv"),
    ),
    ("a name with markup", lambda: zipped({"<script>alert(9731)</script>.csv": b"question,answer\na,b\n"})),
    ("Python code", lambda: zipped({"setup.py": b"import os", "rows.csv": b"question,answer\na,b\n"})),
]


@attack("archives", "A zip of rows holds {0}", FILES)
def rows_in_zip(stage: Stage, payload: tuple[str, Callable[[], bytes]]) -> Outcome:
    who = stage.visitor()
    shown = who.bring(payload[1](), "rows.zip")
    outside = [str(path) for path in (Path("/tmp/evil.csv"), stage.demo.home / "evil.csv") if path.exists()]
    return outcome(
        bool(outside) or "root:x:" in shown or "SQLite" in shown or "<script>alert(9731)" in shown,
        f"{outside}; {shown[:120]}",
    )
