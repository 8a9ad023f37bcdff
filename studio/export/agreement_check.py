"""Checks that an export gives the answers of the chat's model. The export is loaded in a process of its own, by
transformers and peft alone (reload_check.py), and gets the same prompts.
"""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from studio.inference.base_and_tuned import ModelPair, precision_of
from studio.inference.classify import probabilities
from studio.inference.generate import Reply, end_tokens
from studio.inference.heads import CLASSES, head_of
from studio.inference.interruption import pause
from studio.inference.load import weights_folder
from studio.inference.model_cache import ModelCache
from studio.inference.spans import chances
from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessError, ProcessLimits, run_in_process
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.report import ChatSettings

PROMPTS = (
    "Hello, can you help me?",
    "What should I do when my order is late?",
    "Explain in two sentences what you can do.",
    "Which day comes after Monday?",
)
"""Prompts besides the run's own test prompts."""
MOST = 6
TOKENS = 32
FIRST_WORDS = 4
"""Tokens that must be equal. Later ones may differ by rounding, for example between an adapter and a merged model."""
LOOK = 0.05
"""Seconds between two pauses while the process works."""
NEAR = 0.02
"""Probabilities that differ by no more are equal: bfloat16 has three digits."""


@dataclass
class ReferenceAnswers:
    """The prompts, and the answers of the chat's fine-tuned model."""

    prompts: list[Any]
    answers: list[list[float]]
    """Token ids of each reply, or a probability for each label."""
    labels: tuple[str, ...]
    """The labels of the probabilities. Empty if the answers are replies."""
    ends: list[int]
    pad: int


def reference_answers(model_cache: ModelCache, run: RunRef) -> ReferenceAnswers:
    """The answers of the chat's own fine-tuned model."""
    pair = model_cache.pair(run)
    prompts = [*run.spec.config.test_prompts, *PROMPTS][:MOST]
    encoding = pair.encoding()
    inputs = [pair.task.model_input(prompt, encoding) for prompt in prompts]
    ids = [pair.task.prompt_ids(prompt, encoding) for prompt in prompts]
    if pair.head.name == "spans":
        return ReferenceAnswers(inputs, chances(pair, inputs), ("begin", "end"), [], _pad(pair))
    if pair.head.single_pass:
        shares = probabilities(pair, ids)
        return ReferenceAnswers(inputs, [list(map(float, row)) for row in shares], pair.labels, [], _pad(pair))
    ends = sorted(end_tokens(pair.tuned, pair.tokenizer))
    return ReferenceAnswers(inputs, [list(map(float, _reply(pair, each))) for each in ids], (), ends, _pad(pair))


def export_answers(folder: Path, run: RunRef, reference: ReferenceAnswers) -> list[list[float]]:
    """The answers of the export to the same prompts. The check can be interrupted.

    Raises:
        StudioError: `format-unavailable` if the export can't be loaded.
    """
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
        "prompts": reference.prompts,
        "tokens": TOKENS,
        "ends": reference.ends,
        "pad": reference.pad,
        "longest": run.spec.config.max_length,
        "threads": threads,
    }
    cancel = Event()
    with ThreadPoolExecutor(1) as pool:
        answers: Future[list[list[float]]] = pool.submit(
            run_in_process,
            f"{Path(__file__).with_name('reload_check.py')}:answer",
            {"task": task},
            ProcessLimits(environment=child_environment(visitors=True), threads=threads),  # it needs no secret
            cancel=cancel,
        )
        try:
            while not wait((answers,), LOOK).done:
                pause()
        except BaseException:
            cancel.set()
            raise
    try:
        return answers.result()
    except ProcessError as error:
        raise _differs("it can't be loaded", error.last_line or f"the process ended with {error.returncode}") from error


def compare(reference: ReferenceAnswers, answers: list[list[float]], exact: bool) -> str:
    """How well the answers of an export agree with the chat's, in a sentence.

    Replies may differ after some tokens because of rounding. If `exact`, all must begin the same, else half of them.

    Raises:
        StudioError: `format-unavailable` if they differ.
    """
    count = len(reference.answers)
    pairs = list(zip(reference.answers, answers, strict=True))
    if reference.labels:
        difference = max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))
        if difference > NEAR:
            raise _differs("its probabilities differ from those in the Chat tab", f"a difference of {difference:.0%}")
        return f"Tested without the studio: {count} of {count} texts get the same labels as in the Chat tab."
    whole = sum(ours == theirs for ours, theirs in pairs)
    begun = sum(ours[:FIRST_WORDS] == theirs[:FIRST_WORDS] for ours, theirs in pairs)
    if begun < count and (exact or 2 * begun < count):
        raise _differs("its replies differ from those in the Chat tab", f"{begun} of {count} replies begin the same")
    if whole == count:
        return f"Tested without the studio: {whole} of {count} replies are the same as in the Chat tab."
    return (
        f"Tested without the studio: {begun} of {count} replies begin as in the Chat tab, and {whole} are the same for "
        f"all {TOKENS} tokens. The others differ later because of rounding."
    )


def _reply(pair: ModelPair, prompt: list[int]) -> list[int]:
    reply = Reply(pair.tuned, pair.tokenizer, prompt, ChatSettings(max_new_tokens=TOKENS))
    while reply.step():
        pass
    return reply.ids


def _pad(pair: ModelPair) -> int:
    return int(pair.tokenizer.pad_token_id)


def _differs(what: str, given: str) -> StudioError:
    return StudioError(
        "format-unavailable",
        f"The export failed its test: {what}. It was deleted.",
        given=given,
        hint="Please report this problem with the name of the base model.",
    )
