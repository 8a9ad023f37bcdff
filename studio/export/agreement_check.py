"""An export is asked what the chat is asked, in a fresh process without the studio, and the answers are compared."""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import Pair, precision_of
from studio.inference.classify import probabilities
from studio.inference.generate import Reply, end_tokens
from studio.inference.heads import CLASSES, head_of
from studio.inference.interruption import pause
from studio.inference.load import weights_folder
from studio.inference.model_cache import Shelf
from studio.inference.spans import chances
from studio.machine.environment import child_environment
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.report import ChatSettings

PROMPTS = (
    "Hello, can you help me?",
    "What should I do when my order is late?",
    "Explain in two sentences what you can do.",
    "Which day comes after Monday?",
)
"""Asked beside the run's own test prompts."""
MOST = 6
TOKENS = 32
FIRST_WORDS = 4
"""Tokens that must agree where number formats part later, an adapter beside its base and one merged into it, say."""
LOOK = 0.05
"""Seconds between two looks whether the fresh process has answered."""
NEAR = 0.02
"""Probabilities that differ by no more are the same: bfloat16 has three digits."""


@dataclass
class Asked:
    """What was asked, and what the chat's tuned model answers."""

    prompts: list[Any]
    answers: list[list[float]]
    """Token ids of each reply, or a probability for each label."""
    labels: tuple[str, ...]
    """What the probabilities are of; empty: the answers are replies."""
    ends: list[int]
    pad: int


def ask_here(shelf: Shelf, run: RunRef) -> Asked:
    """The chat's own tuned model."""
    pair = shelf.pair(run)
    prompts = [*run.spec.config.test_prompts, *PROMPTS][:MOST]
    encoding = pair.encoding()
    asked = [pair.task.asked(prompt, encoding) for prompt in prompts]
    ids = [pair.task.prompt_ids(prompt, encoding) for prompt in prompts]
    if pair.head.name == "spans":
        return Asked(asked, chances(pair, asked), ("begin", "end"), [], _pad(pair))
    if pair.head.at_once:
        shares = probabilities(pair, ids)
        return Asked(asked, [list(map(float, row)) for row in shares], pair.labels, [], _pad(pair))
    with pair.speaking("tuned") as model:
        ends = sorted(end_tokens(model, pair.tokenizer))
    return Asked(asked, [list(map(float, _reply(pair, each))) for each in ids], (), ends, _pad(pair))


def ask_there(folder: Path, run: RunRef, asked: Asked) -> list[list[float]]:
    """The export, by transformers and peft alone."""
    import torch

    threads = torch.get_num_threads()
    head = head_of(run.info, run.spec.data)
    task = {
        "kind": CLASSES[head.name],
        "head": head.name,
        "problem": head.problem,
        "folder": str(folder),
        "base": weights_folder(run.info) if (folder / "adapter_config.json").exists() else "",
        "precision": precision_of(run),
        "trusted": run.trusted,
        "labels": head.labels,
        "asked": asked.prompts,
        "tokens": TOKENS,
        "ends": asked.ends,
        "pad": asked.pad,
        "longest": run.spec.config.max_length,
        "threads": threads,
    }
    environment = {**child_environment(visitors=True), "OMP_NUM_THREADS": str(threads)}  # it needs no secret
    command = [sys.executable, "-P", str(Path(__file__).with_name("reload_check.py"))]
    with ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        json.dump(task, given)
        given.seek(0)
        with subprocess.Popen(command, text=True, env=environment, stdin=given, stdout=out, stderr=err) as process:
            try:
                while process.poll() is None:
                    time.sleep(LOOK)
                    pause()
            except BaseException:
                process.kill()
                raise
        out.seek(0)
        err.seek(0)
        if process.returncode:
            errors = err.read()
            print(errors, file=sys.stderr, flush=True)
            why = (errors.strip().splitlines() or [f"the process ended with {process.returncode}"])[-1]
            raise _differs("it can't be loaded again", why)
        found: list[list[float]] = json.load(out)
    return found


def compare(asked: Asked, found: list[list[float]], form: str) -> str:
    """What was found, in a sentence; a refusal when the export does not answer as the chat does."""
    count = len(asked.answers)
    if asked.labels:
        apart = max(
            abs(a - b)
            for ours, theirs in zip(asked.answers, found, strict=True)
            for a, b in zip(ours, theirs, strict=True)
        )
        if apart > NEAR:
            raise _differs("its probabilities are not the chat's", f"{apart:.0%} apart")
        return f"Loaded again without the studio: the labels of {count} of {count} texts are the chat's."
    whole = sum(ours == theirs for ours, theirs in zip(asked.answers, found, strict=True))
    begun = sum(ours[:FIRST_WORDS] == theirs[:FIRST_WORDS] for ours, theirs in zip(asked.answers, found, strict=True))
    if begun < count and (form == "merged" or 2 * begun < count):
        raise _differs("it does not reply as the chat does", f"{begun} of {count} replies begin the same")
    if whole == count:
        return f"Loaded again without the studio: {whole} of {count} replies are the chat's."
    return (
        f"Loaded again without the studio: {begun} of {count} replies begin as the chat's, {whole} are the same to the "
        f"end of {TOKENS} tokens; rounding parts the others later."
    )


def _reply(pair: Pair, prompt: list[int]) -> list[int]:
    with pair.speaking("tuned") as model:
        reply = Reply(model, pair.tokenizer, prompt, ChatSettings(max_new_tokens=TOKENS))
        while reply.step():
            pass
    return reply.ids


def _pad(pair: Pair) -> int:
    return int(pair.tokenizer.pad_token_id)


def _differs(what: str, given: str) -> StudioError:
    return StudioError(
        "format-unavailable",
        f"The export was written and tested, and {what}, so it is not offered.",
        given=given,
        hint="Please report this, with the name of the base model.",
    )
