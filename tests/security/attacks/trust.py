"""Code and pickles of foreign models, and who may allow them."""

import json
import pickle
import shutil
from pathlib import Path

from studio.models.starters.install import fetch_starter
from tests.security.attack import Outcome, attack, blocked, outcome
from tests.security.attacks.archives import Evil
from tests.security.stage import FORM, MEMBER, PASSWORD, Stage, Visitor

KINDS = [
    "code by auto_map",
    "code of its tokenizer",
    "pickled weights",
    "a pickle that is called safetensors",
    "a pickled tokenizer",
    "a Jinja template that imports",
    "a configuration that names a path",
    "a link out of its folder",
    "safetensors with a header of 4 GB",
    "deep JSON for its configuration",
]


def ran(stage: Stage) -> Path:
    return stage.folder / "code-of-a-model-ran"


def model(stage: Stage, kind: str) -> Path:
    """The starter model with something hostile in its folder."""
    folder = stage.folder / f"model-{KINDS.index(kind)}"
    if folder.exists():
        return folder
    shutil.copytree(fetch_starter("starter-chat"), folder)
    weights = next(iter(folder.glob("*.safetensors")))
    evil = f"open({str(ran(stage))!r}, 'w').write('x')\nclass Evil: pass\n"
    config = json.loads((folder / "config.json").read_text())
    match kind:
        case "code by auto_map":
            (folder / "evil.py").write_text(evil)
            (folder / "config.json").write_text(
                json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Evil"}})
            )
        case "code of its tokenizer":
            (folder / "evil.py").write_text(evil)
            kept = json.loads((folder / "tokenizer_config.json").read_text())
            (folder / "tokenizer_config.json").write_text(
                json.dumps({**kept, "auto_map": {"AutoTokenizer": ["evil.Evil", None]}})
            )
        case "pickled weights" | "a pickle that is called safetensors" | "a pickled tokenizer":
            add_pickle(folder, kind, Evil(ran(stage)))
        case "a Jinja template that imports":
            (folder / "chat_template.jinja").write_text(
                "{{ cycler.__init__.__globals__.os.system('touch " + str(ran(stage)) + "') }}"
            )
        case "a configuration that names a path":
            (folder / "config.json").write_text(
                json.dumps({**config, "_name_or_path": "/etc/passwd", "base_model_name_or_path": "/etc"})
            )
        case "a link out of its folder":
            (folder / "README.md").unlink(missing_ok=True)
            (folder / "README.md").symlink_to("/etc/passwd")
        case "safetensors with a header of 4 GB":
            weights.write_bytes((2**32).to_bytes(8, "little") + b"{}")
        case _:
            (folder / "config.json").write_text("[" * 100_000 + "]" * 100_000)
    return folder


def add_pickle(folder: Path, kind: str, content: Evil) -> None:
    """Put a pickle in the place of the weights or the tokenizer."""
    weights = next(iter(folder.glob("*.safetensors")))
    file = weights
    if kind == "pickled weights":
        weights.unlink()
        file = folder / "pytorch_model.bin"
    elif kind == "a pickled tokenizer":
        file = folder / "tokenizer.json"
    file.write_bytes(pickle.dumps(content))


def used(who: Visitor, folder: Path, **headers: str) -> str:
    who.bring()
    shown = who.acted("model-body", "task", value="chat") + who.acted("model-body", "folder", value=str(folder))
    shown += (
        who.acted("data-body", "view", value="tokens")
        + who.acted("method-body", "estimate")
        + who.acted("method-body", "start")
    )
    return shown


@attack("trust", "A model with {0} runs code without the owner's leave", KINDS, quick=0)
def runs_code(stage: Stage, kind: str) -> Outcome:
    owner = stage.owner()
    shown = used(owner, model(stage, kind))
    owner.stop_runs()
    leaked = "root:x:" in shown
    unexpected = "Something went wrong" in shown
    return outcome(
        ran(stage).exists() or leaked or unexpected,
        f"ran: {ran(stage).exists()}; leaked: {leaked}; {shown[-200:] if unexpected else ''}",
    )


@attack("trust", "A model that was allowed is changed afterwards and its new code runs")
def changed_after_trust(stage: Stage) -> Outcome:
    owner = stage.owner()
    folder = stage.folder / "model-changed"
    if not folder.exists():
        shutil.copytree(model(stage, "code by auto_map"), folder)
        (folder / "evil.py").write_text("class Evil: pass\n")
    owner.acted("model-body", "task", value="chat")
    owner.acted("model-body", "folder", value=str(folder))
    owner.acted("model-body", "trust", seen="")
    (folder / "evil.py").write_text(f"open({str(ran(stage)) + '-changed'!r}, 'w').write('x')\nclass Evil: pass\n")
    shown = used(owner, folder)
    owner.stop_runs()
    return outcome(Path(str(ran(stage)) + "-changed").exists(), shown[-100:])


class Member(Visitor):
    """Somebody who knows the members' password."""

    cookie = ""

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str):  # type: ignore[no-untyped-def]
        """With the session."""
        return super().ask(method, path, body, **({"cookie": self.cookie} if self.cookie else {}), **headers)


def member(stage: Stage) -> Member:
    """A member of a team: logged in, but not as the owner."""
    if "team" not in stage.__dict__:
        from studio.ui.visitors.passwords import hash_password

        file = stage.folder / "passwords"
        file.write_text(f"owner {hash_password(PASSWORD)}\nmember {hash_password(MEMBER)}\n")
        stage.__dict__["team"] = stage.serve(
            "--host", "0.0.0.0", environment={"STUDIO_PASSWORD_FILE": str(file)}, own=False
        )
    who = Member(stage.__dict__["team"])
    answer = who.ask("POST", "/login", "password=" + MEMBER.replace(" ", "+"), **FORM)
    who.cookie = answer.headers["set-cookie"].split(";")[0]
    return who


ACTS = ["trust", "token", "forget-token"]


@attack("trust", "A member of a team who is not its owner does the owner's act {0}", ACTS)
def members_acts(stage: Stage, act: str) -> Outcome:
    try:
        who = member(stage)
    except RuntimeError as error:
        return outcome(True, f"there are no roles: {str(error)[-150:]}")
    folder = model(stage, "code by auto_map")
    who.acted("model-body", "task", value="chat")
    who.acted("model-body", "folder", value=str(folder))
    if act == "forget-token":
        (who.served.home / "hub-token").write_text("hf_x")
    shown = who.acted("model-body", act, token="hf_evil", value="x", seen="")
    home = who.served.home
    trusted = (home / "trusted-models.json").exists() and "model-0" in (home / "trusted-models.json").read_text()
    token = (home / "hub-token").read_text() if (home / "hub-token").exists() else ""
    changed = trusted or token == "hf_evil" or (act == "forget-token" and not token)
    return outcome(changed, f"trusted: {trusted}, token: {token!r}; {shown[:150]}")


@attack("trust", "A member names themselves the owner by a header")
def member_header(stage: Stage) -> Outcome:
    try:
        who = member(stage)
    except RuntimeError as error:
        return outcome(True, f"there are no roles: {str(error)[-150:]}")
    data = {"page": who.page, "region": "model-body", "said": {"act": "token", "token": "hf_evil"}}
    answer = who.call({**data, "role": "owner", "x-studio-role": "owner"}, x_studio_role="owner")
    path = who.served.home / "hub-token"
    return outcome(path.exists() and path.read_text() == "hf_evil", f"{answer.status}: {answer.text[:100]}")


@attack("trust", "A member uses the named endpoint {0} of the owner", ["status", "plan", "train", "chat", "predict"])
def members_api(stage: Stage, name: str) -> Outcome:
    who = member(stage)
    texts = ["x", "last"] if name in ("chat", "predict") else ["sample:support-tone", "starter-chat"]
    data = ["last"] if name == "status" else texts
    begun = who.post(f"/gradio_api/call/{name}", {"data": data}, x_studio_role="owner")
    event = begun.json.get("event_id", "") if begun.status == 200 else ""
    who.patience = 20
    shown = who.get(f"/gradio_api/call/{name}/{event}", x_studio_role="owner").text if event else ""
    runs = len(who.runs())
    return outcome("event: complete" in shown or bool(runs), f"{begun.status}: {shown[:200]}; runs: {runs}")


@attack("trust", "A model with code is used by a visitor of a demo")
def visitor_uses_code(stage: Stage) -> Outcome:
    who = stage.visitor()
    folder = model(stage, "code by auto_map")
    shown = used(who, folder)
    who.stop_runs()
    return blocked(shown[:50]) if not ran(stage).exists() else outcome(True, "its code ran")
