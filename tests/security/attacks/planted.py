"""Planted tokens: keys in the environment and the data folder of the owner, looked for in what leaves the studio."""

import gzip
import io
import os
import subprocess
import sys
import zipfile
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.trust import Member
from tests.security.stage import FORM, Stage, log_of

SECRETS = {
    "HF_TOKEN": "hf_PlantedPlantedPlantedPlantedPl01",
    "HUGGING_FACE_HUB_TOKEN": "hf_PlantedPlantedPlantedPlantedPl02",
    "KAGGLE_KEY": "planted0kaggle0key0planted0000003",
    "MODELSCOPE_API_TOKEN": "ms-planted-modelscope-token-000004",
    "WANDB_API_KEY": "planted0wandb0key0planted0planted05",
    "AWS_SECRET_ACCESS_KEY": "Planted+Aws+Secret+Access+Key+0006",
    "OPENAI_API_KEY": "sk-planted-openai-key-0000000000007",
    "STUDIO_PASSWORD": "planted password 8",
}
SAVED = "hf_PlantedPlantedPlantedPlantedPl09"
"""The token that the owner saved in the studio. Its own file may have it."""
FORMATS = ["adapter", "merged", "script", "notebook", "space", "onnx", "browser", "openvino"]
"""GGUF, Ollama and LiteRT need tools of their own: tests/exports looks into their files."""
PLACES = [
    *(f"the export {format}" for format in FORMATS),
    "the archive of a run",
    "the file of a project",
    "the exported rows",
    "the file with predictions",
    "the folder of a run, with its log",
    "what the commands print",
    "the logs of server and model host",
    "the page of the owner",
    "any other file of the data folder",
]
ROWS = "text,label\n" + "".join(
    f"{'The lid broke' if n % 2 else 'I like it'} {n},{'bad' if n % 2 else 'good'}\n" for n in range(60)
)


def everything(stage: Stage) -> dict[str, bytes]:
    """Place → all that is in it. A run is trained, and everything that can be taken away is made once."""
    if "planted" not in stage.__dict__:
        stage.__dict__["planted"] = None
        stage.__dict__["planted"] = made(stage)
    assert stage.__dict__["planted"] is not None, "the first attack of this class says why"
    return stage.__dict__["planted"]  # type: ignore[no-any-return]


def made(stage: Stage) -> dict[str, bytes]:
    folder = stage.folder / "planted"
    home, out = folder / "home", folder / "out"
    out.mkdir(parents=True)
    (folder / "rows.csv").write_text(ROWS)
    environment = {**os.environ, **SECRETS, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    printed = b""

    def command(*words: str, given: str = "") -> None:
        nonlocal printed
        done = subprocess.run(
            [sys.executable, "-m", "studio", "--home", str(home), *words],
            env=environment,
            input=given.encode(),
            capture_output=True,
            timeout=900,
        )
        printed += done.stdout + done.stderr
        assert done.returncode == 0, f"studio {' '.join(words)}: {done.stderr.decode()[-300:]}"

    few = ["--max-steps", "2", "--max-length", "32", "--batch-size", "4"]
    command("train", str(folder / "rows.csv"), "--model", "starter-classify", "--method", "lora", *few)
    (home / "hub-token").write_text(SAVED)
    for format in FORMATS:
        command("export", "last", "--format", format, "--to", str(out / format))
    command("export-run", "last", "--to", str(out / "run.zip"))
    command("project", "export", "default", "--to", str(out / "project.zip"))
    command("data", "export", "last", "--to", str(out / "rows.jsonl"))
    command("predict", "last", str(folder / "rows.csv"), "--out", str(out / "predictions.csv"))
    command("doctor", "--json")
    command("show", "last", "--json")
    command("log", "last")
    places = {f"the export {format}": content_of(out / format) for format in FORMATS}
    places["the archive of a run"] = content_of(out / "run.zip")
    places["the file of a project"] = content_of(out / "project.zip")
    places["the exported rows"] = content_of(out / "rows.jsonl")
    places["the file with predictions"] = content_of(out / "predictions.csv")
    places["the folder of a run, with its log"] = content_of(home / "workspaces" / "default" / "runs")
    places["what the commands print"] = printed
    places["the page of the owner"], log = page_of(stage)
    places["the logs of server and model host"] = log + content_of(home / "logs")
    rest = [path for path in home.rglob("*") if path.is_file() and path.name != "hub-token"]
    places["any other file of the data folder"] = b"".join(content_of(path) for path in rest)
    return places


def page_of(stage: Stage) -> tuple[bytes, bytes]:
    """All tabs of a studio with these keys in its environment and the saved token in its folder, and its log."""
    served = stage.serve("--host", "0.0.0.0", environment=SECRETS)
    (served.home / "hub-token").write_text(SAVED)
    who = Member(served)
    answer = who.ask("POST", "/login", f"password={quote(SECRETS['STUDIO_PASSWORD'])}", **FORM)
    who.cookie = answer.headers["set-cookie"].split(";")[0]
    tabs = ("model", "data", "method", "train", "evaluate", "chat", "export", "runs")
    shown = [who.get("/").text, *(who.acted(f"{tab}-body", "draw") for tab in tabs)]
    assert all(shown), "a tab shows nothing"
    return "".join(shown).encode(), log_of(served).encode()


def content_of(path: Path) -> bytes:
    """All bytes below a path. Archives and compressed files are unpacked."""
    if path.is_dir():
        return b"".join(content_of(each) for each in sorted(path.rglob("*")) if each.is_file())
    return unpacked(path.read_bytes())


def unpacked(content: bytes) -> bytes:
    """The bytes, and those of the members of an archive."""
    if content[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content + b"".join(
                name.encode() + unpacked(archive.read(name)) for name in archive.namelist() if not name.endswith("/")
            )
    if content[:2] == b"\x1f\x8b":
        return content + gzip.decompress(content)
    return content


def forms(secret: str) -> list[bytes]:
    """A secret as it may be written: plain, quoted for a URL, as hexadecimal digits, as base64."""
    coded = [secret, quote(secret), secret.encode().hex(), b64encode(secret.encode()).decode().rstrip("=")]
    return [form.encode() for form in coded]


def leaked(content: bytes) -> list[str]:
    """Names of the planted variables whose secrets are in a content."""
    return [name for name, secret in SECRETS.items() if any(form in content for form in forms(secret))]


@attack(
    "planted",
    "{0}",
    [
        (f"{name} is in {place}", place, secret)
        for name, secret in {**SECRETS, "The saved Hub token": SAVED}.items()
        for place in PLACES
    ],
)
def planted_token(stage: Stage, payload: tuple[str, str, str]) -> Outcome:
    _, place, secret = payload
    content = everything(stage)[place]
    hits = [form for form in forms(secret) if form in content]
    return outcome(bool(hits) or not content, f"{len(content):,} bytes; {hits}")
