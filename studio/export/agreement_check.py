"""Checks that an export gives the answers of the chat's model. The export is loaded in a process of its own, by
transformers and peft alone (reload_check.py), and gets the same prompts.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studio.export.child_process import call_in_process, cause_of
from studio.inference.base_and_tuned import ModelPair, fits_in_memory, precision_of
from studio.inference.batches import by_length
from studio.inference.classify import probabilities
from studio.inference.generate import (
    BegunReplies,
    Reply,
    decode_reply,
    decoder_start,
    end_tokens,
    generate_ids,
    plain_model,
    suppressed_tokens,
)
from studio.inference.heads import CLASSES, head_of
from studio.inference.interruption import pause
from studio.inference.load import load_base, weights_folder
from studio.inference.model_cache import ModelCache
from studio.inference.spans import chances
from studio.machine.run_in_process import ProcessError
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.report import ChatSettings

PROMPTS = (
    "Hello, can you help me?",
    "What should I do when my order is late?",
    "Explain in two sentences what you can do.",
    "Which day comes after Monday?",
    "Write a short thank-you note to a colleague.",
    "The package arrived broken. What now?",
    "Name three fruits that are red.",
    "How do I reset my password?",
    "Summarize: The meeting moved from Tuesday to Friday at ten.",
    "Is it cheaper to travel by train or by bus?",
    "I was charged twice for one ticket.",
    "What is the capital of France?",
    "Give me a title for a story about the sea.",
    "The app closes as soon as I open it.",
    "Thank you, that was a great help!",
    "How long can cooked rice stay in the fridge?",
    "Translate to plain words: The event was postponed due to adverse weather.",
    "What is 7 plus 5?",
    "My name is Ana and I would like to cancel my contract.",
    "Why is the sky blue?",
)
"""Prompts besides the run's own test prompts."""
OWN_PROMPTS = 4
"""The run's own test prompts that are used."""
TOKENS = 24
GENERATED = 4
"""Replies that the export generates token by token. The others it only confirms, which takes one pass each."""
END = -1
"""Stands for any token that ends a reply."""
ROUNDING = "The others differ later because of rounding."
FIRST_WORDS = 4
"""Tokens that must be equal. Later ones may differ by rounding, for example between an adapter and a merged model."""
NEAR = 0.02
"""Probabilities that differ by no more are equal: bfloat16 has three digits."""

Answers = list[list[float]]
"""Of each prompt: token ids of the reply, or a probability for each label."""


@dataclass
class ReferenceAnswers:
    """The prompts, and the answers of the chat's fine-tuned model."""

    prompts: list[Any]
    answers: Answers
    labels: tuple[str, ...]
    """The labels of the probabilities. Empty if the answers are replies."""
    ends: list[int]
    pad: int
    prompt_ids: list[list[int]] = field(default_factory=list)
    """Token ids of the prompts of generative models."""
    texts: list[str] = field(default_factory=list)
    """Text of each reply."""
    base_tokens: list[tuple[int, int] | None] = field(default_factory=list)
    """Where the base model would differ first: position in the reply, and its token. None: it gives the same reply."""

    @property
    def differing_prompts(self) -> int:
        """Number of prompts to which the base model replies differently."""
        return sum(each is not None for each in self.base_tokens)


def reference_answers(model_cache: ModelCache, run: RunRef) -> ReferenceAnswers:
    """The answers of the chat's own fine-tuned model. They are kept with it, for its next export.

    Raises:
        StudioError: `format-unavailable` if it gives exactly the outputs of the base model. A classifier is compared
            if the base model itself has a trained head with these labels.
    """
    pair = model_cache.pair(run)
    if pair.reference is None:
        pair.reference = _reference_answers(pair)
    reference: ReferenceAnswers = pair.reference
    return reference


def _reference_answers(pair: ModelPair) -> ReferenceAnswers:
    prompts = [*pair.config.test_prompts[:OWN_PROMPTS], *PROMPTS]
    encoding = pair.encoding()
    inputs = [pair.task.model_input(prompt, encoding) for prompt in prompts]
    ids = [pair.task.prompt_ids(prompt, encoding) for prompt in prompts]
    if pair.head.single_pass:
        answers, base = _shares(pair, inputs, ids), _base_with_own_head(pair)
        if base is not None and _shares(replace(pair, tuned=base), inputs, ids) == answers:
            raise _nothing_to_export(len(prompts))
        labels = ("begin", "end") if pair.head.name == "spans" else pair.labels
        return ReferenceAnswers(inputs, answers, labels, [], _pad(pair))
    replies = _greedy_replies(pair, ids)
    return ReferenceAnswers(
        inputs,
        [list(map(float, reply.ids)) for reply in replies],
        (),
        sorted(end_tokens(pair.tuned, pair.tokenizer)),
        _pad(pair),
        prompt_ids=ids,
        texts=[decode_reply(pair.tokenizer, reply.ids) for reply in replies],
        base_tokens=[reply.base_token for reply in replies],
    )


def _shares(pair: ModelPair, inputs: list[Any], ids: list[list[int]]) -> Answers:
    """The probabilities of the fine-tuned model: of each label, or of each token to begin and to end the answer."""
    if pair.head.name == "spans":
        return chances(pair, inputs)
    return [list(map(float, row)) for row in probabilities(pair, ids)]


def _base_with_own_head(pair: ModelPair) -> Any:
    """The base model with the head that it was published with. None if it has none, or memory is short.

    A run starts from such a head, so a run that has learned nothing gives the answers of the base model.
    """
    if not pair.run.info.architecture.endswith(CLASSES[pair.head.name].removeprefix("AutoModel")):
        return None
    if pair.base_has_qa_head:
        return pair.base
    if not fits_in_memory(pair.run, 1):
        return None
    base = load_base(pair.run.info, precision_of(pair.run), pair.head, pair.run.trusted)
    return None if base.new_modules else base


def export_answers(folder: Path, run: RunRef, reference: ReferenceAnswers) -> Answers:
    """The answers of the export to the same prompts. The check can be interrupted.

    Raises:
        StudioError: `format-unavailable` if the export can't be loaded.
    """
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
        "replies": [] if reference.labels else reference.answers,
        "generated": GENERATED,
        "tokens": TOKENS,
        "ends": reference.ends,
        "pad": reference.pad,
        "longest": run.spec.config.max_length,
    }
    try:
        answers: Answers = call_in_process("reload_check.py:answer", task)
    except ProcessError as error:
        raise _differs("it can't be loaded", cause_of(error)) from error
    return answers


def compare(
    reference: ReferenceAnswers,
    answers: Answers,
    exact: bool,
    least: float = 0.5,
    cause: str = ROUNDING,
) -> str:
    """How well the answers of an export agree with the chat's, in a sentence.

    Replies may differ after some tokens. `cause` is the sentence that says why. All must begin the same if `exact`,
    else a share of `least`.

    Raises:
        StudioError: `format-unavailable` if they differ.
    """
    count = len(reference.answers)
    if reference.labels:
        difference = largest_difference(reference, answers)
        if difference > NEAR:
            raise _differs("its probabilities differ from those in the Chat tab", f"a difference of {difference:.0%}")
        return f"Tested without the studio: {count} of {count} texts get the same labels as in the Chat tab."
    whole, begun = same_replies(reference, answers), same_beginnings(reference, answers)
    if begun < count and (exact or begun < count * least):
        raise _differs("its replies differ from those in the Chat tab", f"{begun} of {count} replies begin the same")
    require_fine_tuned(reference, answers)
    sentences = [f"Tested without the studio: {whole} of {count} replies are the same as in the Chat tab."]
    if whole < count:
        result = (
            f"Tested without the studio: {begun} of {count} replies begin as in the Chat tab, and {whole} are the same "
            f"for all {TOKENS} tokens."
        )
        sentences = [result, cause]
    if reference.base_tokens and not reference.differing_prompts:
        sentences.append("The base model gives the same replies to these prompts, so they don't tell the two apart.")
    return " ".join(sentences)


def largest_difference(reference: ReferenceAnswers, answers: Answers) -> float:
    """The largest difference between two probabilities or scores."""
    pairs = zip(reference.answers, answers, strict=True)
    return max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))


def same_replies(reference: ReferenceAnswers, answers: Answers) -> int:
    """The number of replies that are the same."""
    return sum(ours == theirs for ours, theirs in zip(reference.answers, answers, strict=True))


def same_beginnings(reference: ReferenceAnswers, answers: Answers) -> int:
    """The number of replies that begin the same."""
    pairs = zip(reference.answers, answers, strict=True)
    return sum(ours[:FIRST_WORDS] == theirs[:FIRST_WORDS] for ours, theirs in pairs)


def require_fine_tuned(reference: ReferenceAnswers, answers: Answers) -> None:
    """Raise `StudioError` if an export gives the replies of the base model where the two models differ."""
    tuned = base = 0
    for first, ours, theirs in zip(reference.base_tokens, reference.answers, answers, strict=False):
        if first is None or ours[: first[0]] != theirs[: first[0]]:
            continue
        token = theirs[first[0]] if first[0] < len(theirs) else END
        tuned += token == (ours[first[0]] if first[0] < len(ours) else END)
        base += token == first[1]
    if base > tuned:
        raise _differs(
            "it replies like the base model", f"{base} replies as from the base model, {tuned} as fine-tuned"
        )


@dataclass
class _GreedyReply:
    ids: list[int]
    ended: bool
    base_token: tuple[int, int] | None = None

    def first_difference(self, likeliest: list[int]) -> tuple[int, int] | None:
        """The first position at which another token is likelier, and that token."""
        expected = [*self.ids, END] if self.ended else self.ids
        pairs = enumerate(zip(expected, likeliest, strict=False))
        return next(((place, theirs) for place, (ours, theirs) in pairs if ours != theirs), None)


def _greedy_replies(pair: ModelPair, prompts: list[list[int]]) -> list[_GreedyReply]:
    """The replies of the chat at temperature 0, and where the base model's differ.

    They are generated in batches, and each is confirmed by one pass over it alone: padding can move a choice between
    two tokens that are about equally likely. A reply that is not confirmed is generated again, token by token.

    Raises:
        StudioError: `format-unavailable` if both models give exactly the same logits for all prompts.
    """
    import torch

    settings, ends = ChatSettings(max_new_tokens=TOKENS), end_tokens(pair.tuned, pair.tokenizer)
    replies, equal = [], True
    for prompt, draft in zip(prompts, _drafts(pair, prompts, settings), strict=True):
        pause()
        length = next((place for place, token in enumerate(draft) if token in ends), len(draft))
        reply = _GreedyReply(draft[:length], length < len(draft))
        tuned = _logits(pair.tuned, prompt, reply.ids)
        if reply.first_difference(_likeliest(pair, tuned)):
            reply = _reply(pair, prompt, settings)
            tuned = _logits(pair.tuned, prompt, reply.ids)
        base = _logits(pair.base, prompt, reply.ids)
        equal = equal and torch.equal(base, tuned)
        reply.base_token = reply.first_difference(_likeliest(pair, base))
        replies.append(reply)
    if equal:
        raise _nothing_to_export(len(prompts))
    return replies


def _drafts(pair: ModelPair, prompts: list[list[int]], settings: ChatSettings) -> list[list[int]]:
    drafts: dict[int, list[int]] = {}
    for batch in by_length([len(prompt) for prompt in prompts]):
        begun = BegunReplies([prompts[each] for each in batch], [[] for _ in batch])
        ids = generate_ids(pair.tuned, pair.tokenizer, begun, settings, lambda tokens, finished: False)
        drafts.update(zip(batch, ids, strict=True))
    return [drafts[number] for number in range(len(prompts))]


def _reply(pair: ModelPair, prompt: list[int], settings: ChatSettings) -> _GreedyReply:
    reply = Reply(pair.tuned, pair.tokenizer, prompt, settings)
    while reply.step():
        pause()
    return _GreedyReply(reply.ids, reply.ended)


def _likeliest(pair: ModelPair, logits: Any) -> list[int]:
    """The likeliest token at each position, `END` for all that end a reply."""
    allowed = logits.clone()
    allowed[:, suppressed_tokens(pair.tuned)] = -float("inf")
    ends = end_tokens(pair.tuned, pair.tokenizer)
    return [END if token in ends else token for token in allowed.argmax(-1).tolist()]


def _logits(model: Any, prompt: list[int], reply: list[int]) -> Any:
    """Logits for each token of a reply and the one after it, of shape (tokens + 1, vocabulary)."""
    import torch

    with torch.no_grad():
        if model.config.is_encoder_decoder:
            begin = decoder_start(plain_model(model))["decoder_start_token_id"]
            inputs = {"input_ids": [prompt], "decoder_input_ids": [[begin, *reply]]}
        else:
            inputs = {"input_ids": [[*prompt, *reply]]}
        out = model(**{name: torch.tensor(ids, device=model.device) for name, ids in inputs.items()}, use_cache=False)
    return out.logits[0, -len(reply) - 1 :].float()


def _nothing_to_export(prompts: int) -> StudioError:
    return StudioError(
        "format-unavailable",
        "The fine-tuned model gives exactly the outputs of its base model, so there is nothing to export.",
        given=f"equal outputs for {prompts} of {prompts} prompts",
        hint="Train for more steps or with a higher learning rate, then export.",
    )


def _pad(pair: ModelPair) -> int:
    return int(pair.tokenizer.pad_token_id)


def _differs(what: str, given: str) -> StudioError:
    return StudioError(
        "format-unavailable",
        f"The export failed its test: {what}. It was deleted.",
        given=given,
        hint="Please report this problem with the name of the base model.",
    )
