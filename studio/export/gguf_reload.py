"""Loads a GGUF file without the studio: with llama.cpp's own server, in the environment of the converter.

`run_in_process` calls `answer` of this file, which is never imported: it must not know the studio.
"""

import json
import secrets
import time
import urllib.request
from typing import Any

NO_LOG = -1
"""llama.cpp writes errors only."""


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Answer each prompt with llama.cpp: `prompts`, `tokens`, `ended` and `texts` by prompt; and tokens per second.

    A prompt is a list of messages, for the chat template of the file, or a text.
    """
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = task["file"]
    settings.n_ctx, settings.n_parallel = task["context"], 1
    settings.use_jinja, settings.warmup, settings.ui, settings.verbosity = True, False, False, NO_LOG
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = task["threads"]
    settings.hostnames, key = ["127.0.0.1"], secrets.token_hex(16)
    settings.api_keys = [key]
    server = xllamacpp.Server(settings)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, **body: Any) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        request = urllib.request.Request(f"{server.listening_address}{path}", json.dumps(body).encode(), headers)
        with opener.open(request) as response:
            answer: dict[str, Any] = json.loads(response.read())
        return answer

    answers: dict[str, Any] = {"prompts": [], "tokens": [], "ended": [], "texts": []}
    seconds = 0.0
    for prompt in task["prompts"]:
        text = prompt if isinstance(prompt, str) else ask("/apply-template", messages=prompt)["prompt"]
        ids = ask("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
        began = time.monotonic()
        reply = ask(
            "/completion",
            prompt=ids,
            n_predict=task["tokens"],
            temperature=0,
            samplers=["temperature"],
            return_tokens=True,
            cache_prompt=False,
        )
        seconds += time.monotonic() - began
        ended = reply["stop_type"] == "eos"  # the last token is then the one that ends the reply
        answers["prompts"].append(ids)
        answers["tokens"].append(reply["tokens"][:-1] if ended else reply["tokens"])
        answers["ended"].append(ended)
        answers["texts"].append(reply["content"])
    answers["speed"] = sum(map(len, answers["tokens"])) / max(seconds, 1e-9)
    return answers
