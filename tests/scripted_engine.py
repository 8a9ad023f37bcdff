"""An engine whose texts say what it does: `words a b c`, `wait 2`, `hang`, `too long`. A real process with real HTTP.

python -m studio.serving.engine_process PARENT tests.scripted_engine:main PORT
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.host import RunRef
from studio.schema.runs import RunSpec
from studio.schema.serving import ServedModel
from studio.serving.engines import Engine, Launch
from tests.model_facts import SMALL


def lora_run(folder: Path, who: str = "tuned", rank: int = 24, **config: Any) -> ServedModel:
    """A LoRA run of a base with a chat template, without weights."""
    info = SMALL.model_copy(update={"path": str(folder), "has_chat_template": True})
    spec = RunSpec(
        config=TrainingConfig(task="chat", model=info.name, precision="bfloat16"),
        dataset="data-1",
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
        splits=SplitSpec(),
    )
    adapter = folder / f"run-{rank}" / "adapter"
    adapter.mkdir(parents=True, exist_ok=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, **config}))
    run = RunRef(info=info, spec=spec, folder=str(adapter.parent))
    name = info.name if who == "base" else f"run-{rank}"
    return ServedModel(name=name, who="base" if who == "base" else "tuned", base=info.name, run=run)


class Scripted(Engine):
    """Starts the server below in the folder of the run."""

    name = "scripted"
    title = "a scripted engine"
    needs_weights = False

    def unavailable_reason(self, model: ServedModel) -> str:
        """It serves all."""
        return ""

    def reason(self, model: ServedModel) -> str:
        """For tests."""
        return "A test asked for it."

    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        """Serve one model."""
        return Launch("tests.scripted_engine:main", [str(port)], Path(models[0].run.folder))

    def model_name(self, model: ServedModel) -> str:
        """Its own."""
        return model.name


class Handler(BaseHTTPRequestHandler):
    """The endpoints that the gateway asks."""

    def do_GET(self) -> None:
        """The health check."""
        self._send(200, b"{}")

    def do_POST(self) -> None:
        """A reply or labels."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"] if "messages" in body else body.get("prompt") or body["input"][0]
        command, _, rest = text.partition(" ")
        if command == "wait":
            time.sleep(float(rest))
        elif command == "hang":
            time.sleep(3600)
        if text == "too long":
            self._send(400, b'{"message": "/srv/model: its maximum context length is 8192 tokens"}')
        elif text == "out of turn":
            self._send(400, b'{"message": "/srv/model: roles must alternate"}')
        elif "input" in body:
            labels = {"labels": ["good"], "problem": "", "outputs": [[1.0]], "predicted": ["good"]}
            self._send(200, json.dumps(labels).encode())
        else:
            words = [word for word in rest.split(" ") if word]
            self._send(200, b"".join(_events(words or [command], "messages" in body)))

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _events(words: Sequence[str], chat: bool) -> Iterator[bytes]:
    """A word in each event, and as many prompt tokens as words."""
    for word in words:
        yield _event({"choices": [{"delta": {"content": word}} if chat else {"text": word}]})
    yield _event({"choices": [], "usage": {"prompt_tokens": len(words), "completion_tokens": len(words)}})
    yield b"data: [DONE]\n\n"


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def main() -> None:
    """Serve until a signal."""
    print("started", file=sys.stderr, flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
