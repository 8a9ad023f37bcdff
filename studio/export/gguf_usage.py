"""The commands with which llama.cpp, LM Studio, Jan, Ollama and Python use a GGUF file."""

import json
import shlex

from studio.export.snippets import NEW_TOKENS, example_input, without_own_input
from studio.inference.heads import variant_of
from studio.schema.host import RunRef
from studio.schema.report import Usage


def usages(run: RunRef, place: str, file: str) -> tuple[Usage, ...]:
    """Return the commands for the file `file` in the folder `place`."""
    path, system = f"{place}/{file}", run.spec.config.system_prompt
    templated = variant_of(run.info, run.spec.data).templated
    arguments = f" --system-prompt {shlex.quote(system)}" if system and templated else ""
    arguments += "" if templated else " --no-conversation"
    return (
        Usage(
            title="llama.cpp",
            language="sh",
            code=f"llama-cli --model {shlex.quote(path)} --temp 0{arguments} --prompt {shlex.quote(prompt(run))}\n"
            f"# or as a server with the API of OpenAI, on http://127.0.0.1:8080/v1\n"
            f"llama-server --model {shlex.quote(path)} --port 8080",
        ),
        Usage(
            title="LM Studio",
            language="sh",
            code=f"lms import {shlex.quote(path)}\nlms load {shlex.quote(file.removesuffix('.gguf'))}",
        ),
        Usage(
            title="Jan",
            language="text",
            code=f"Settings > Model Providers > Llama.cpp > Import, then choose {path}",
        ),
        Usage(title="Python", language="python", code=python(run, place, file)),
    )


def prompt(run: RunRef) -> str:
    """Return a general prompt, as the task of the run formats it. The programs add system prompt and chat template."""
    given = example_input(without_own_input(run))
    return given if isinstance(given, str) else str(given[-1]["content"])


def ollama(run: RunRef, place: str) -> Usage:
    """Return the commands for Ollama, which read the Modelfile in the folder `place`."""
    commands = ("ollama create my-model -f Modelfile", f"ollama run my-model {shlex.quote(prompt(run))}")
    return Usage(title="Ollama", language="sh", code="\n".join((f"cd {shlex.quote(place)}", *commands)))


def python(run: RunRef, place: str, file: str) -> str:
    """Return code that answers one prompt with llama.cpp."""
    messages = example_input(without_own_input(run))
    if variant_of(run.info, run.spec.data).templated:
        ask, input_field, text = "chat_completions", f'"messages": {messages!r}', '"message"]["content"'
    else:
        ask, input_field, text = "completions", f'"prompt": {json.dumps(messages)}', '"text"'
    return f"""# pip install xllamacpp
import xllamacpp

settings = xllamacpp.CommonParams()
settings.model.path = {f"{place}/{file}"!r}
settings.n_ctx = 2048
server = xllamacpp.Server(settings)
request = {{{input_field}, "max_tokens": {NEW_TOKENS}, "temperature": 0}}
reply = server.handle_{ask}(request)
print(reply["choices"][0][{text}])
"""
