"""Replies of one language model: token by token for the chat, at once for test prompts, in batches for many rows.

Temperature 0 takes the likeliest token each time. Above it the same seed gives the same words again.
"""

import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from studio.inference.interruption import pause
from studio.schema.errors import StudioError
from studio.schema.report import Answer, ChatSettings

END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|eot|>", "<|end|>", "<end_of_turn>", "<|end_of_text|>", "<|endoftext|>")
"""Tokens by which known chat templates end a turn; each counts where it is a special token of the model."""
PLAINLY: Mapping[str, Any] = {
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "typical_p": 1.0,
    "min_p": 0.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""What a model's makers wished for its texts and nobody here has asked for: transformers takes it over where it is not
said otherwise, and a model made for summaries of 56 words or more could write no headline."""
BROKEN = "\ufffd"
"""Stands at the end of a text while a character is still in pieces."""


class Reply:
    """A reply in the making: each `step` adds one token, until one says that there is no more."""

    def __init__(
        self, model: Any, tokenizer: Any, prompt_ids: Sequence[int], settings: ChatSettings, context: int = 2**20
    ) -> None:
        import torch

        writes_apart = model.config.is_encoder_decoder
        self.limit = min(settings.max_new_tokens, context if writes_apart else room_for_reply(prompt_ids, context))
        self.ids: list[int] = []
        self.text, self.finished, self.seconds, self.ended = "", False, 0.0, False
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._ends, self._never = end_tokens(model, tokenizer), never_said(model)
        self._arguments: dict[str, Any] = last_logits_only(model)
        self._input = "input_ids"
        self._next = torch.tensor([list(prompt_ids)], device=model.device)
        self._forced: list[int] = []
        if writes_apart:
            self._read(list(prompt_ids))
        self._cache: Any = None
        self._random = torch.Generator(device=model.device).manual_seed(settings.seed)

    def step(self) -> bool:
        """Add a token; False when the reply is whole."""
        import torch

        if self.finished:
            return False
        began = time.perf_counter()
        with torch.no_grad():
            out = self._model(
                **{self._input: self._next},
                past_key_values=self._cache,
                use_cache=True,
                return_dict=True,
                **self._arguments,
            )
        logits = out.logits[0, -1].float()
        logits[self._never] = -float("inf")
        token = choose(logits, self._settings, self._random)
        token = self._forced.pop() if self._forced else token
        self._cache = out.past_key_values
        if token in self._ends:
            self.finished = self.ended = True
        else:
            self.ids.append(token)
            self._next = torch.tensor([[token]], device=self._model.device)
            self.finished = len(self.ids) >= self.limit
            self.text = self._decode()
        if self.finished:
            self._cache = None
            self.text = self._tokenizer.decode(self.ids, skip_special_tokens=True).rstrip(BROKEN)
        self.seconds += time.perf_counter() - began
        return not self.finished

    def _read(self, ids: list[int]) -> None:
        """A reader's part is done once; its writer then goes on from its first token."""
        import torch

        plain = plain_model(self._model)
        told = {"input_ids": self._next, "attention_mask": torch.ones_like(self._next)}
        with torch.no_grad():
            read = plain.get_encoder()(**told, return_dict=True)
        self._arguments = {"encoder_outputs": read, "attention_mask": told["attention_mask"]}
        begin = begins(plain)
        self._input, self._next = "decoder_input_ids", torch.tensor([[begin["decoder_start_token_id"]]])
        self._next = self._next.to(self._model.device)
        self._forced = [begin["forced_bos_token_id"]] if begin["forced_bos_token_id"] is not None else []

    def answer(self, how: str = "") -> Answer:
        """What has been said so far."""
        cut = "" if self.ended or not self.finished else f"Cut off after {len(self.ids)} tokens."
        words = " ".join(filter(None, (how, cut)))
        return Answer(text=self.text, tokens=len(self.ids), seconds=round(self.seconds, 3), how=words)

    def _decode(self) -> str:
        """The text so far, without a character that is still in pieces."""
        text: str = self._tokenizer.decode(self.ids, skip_special_tokens=True)
        return self.text if text.endswith(BROKEN) else text


def stream(
    model: Any,
    tokenizer: Any,
    prompt_ids: Sequence[int],
    settings: ChatSettings,
    stop: Callable[[], bool] = lambda: False,
    context: int = 2**20,
) -> Iterator[str]:
    """The whole text so far, each time it grows."""
    reply, said = Reply(model, tokenizer, prompt_ids, settings, context), ""
    while not stop():
        more = reply.step()
        if reply.text != said:
            said = reply.text
            yield said
        if not more:
            return


def reply(model: Any, tokenizer: Any, prompt_ids: Sequence[int], settings: ChatSettings) -> Answer:
    """A whole reply. A model in training is switched to answering and back."""
    training = model.training
    model.eval()
    try:
        whole = Reply(model, tokenizer, prompt_ids, settings)
        while whole.step():
            pass
        return whole.answer()
    finally:
        model.train(training)


def replies(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    settings: ChatSettings,
    stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Replies to a batch of prompts, padded on the left."""
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    longest, pad = max(map(len, prompts)), tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    sampled = settings.temperature > 0
    apart = model.config.is_encoder_decoder
    config = GenerationConfig(
        do_sample=sampled,
        max_new_tokens=settings.max_new_tokens,
        eos_token_id=sorted(end_tokens(model, tokenizer)) or None,
        pad_token_id=pad,
        **PLAINLY,
        **(begins(plain_model(model)) if apart else {}),
        **({"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0} if sampled else {}),
    )

    def stopped(input_ids: Any, scores: Any, **_: Any) -> Any:
        pause()
        return torch.full((len(input_ids),), stop(), device=input_ids.device)

    with torch.no_grad(), torch.random.fork_rng(), warnings.catch_warnings():
        # transformers always makes positions, and peft, which has its own for virtual tokens, says so each time
        warnings.filterwarnings("ignore", "Position ids are not supported")
        torch.manual_seed(settings.seed)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([stopped]),
        )
    said = out[:, 1:] if apart else out[:, longest:]
    return [tokenizer.decode(row, skip_special_tokens=True).rstrip(BROKEN) for row in said]


def choose(logits: Any, settings: ChatSettings, random: Any) -> int:
    """The next token from the logits of one position."""
    import torch

    if settings.temperature == 0:
        return int(logits.argmax())
    shares, order = torch.softmax(logits / settings.temperature, dim=-1).sort(descending=True)
    if settings.top_p < 1:
        before = shares.cumsum(0) - shares
        shares = torch.where(before < settings.top_p, shares, torch.zeros_like(shares))
    return int(order[torch.multinomial(shares, 1, generator=random)])


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens after which nothing more is said."""
    told = getattr(model.generation_config, "eos_token_id", None)
    known = [tokenizer.convert_tokens_to_ids(token) for token in END_OF_TURN if token in tokenizer.all_special_tokens]
    ends = [tokenizer.eos_token_id, *(told if isinstance(told, list) else [told]), *known]
    return frozenset(int(end) for end in ends if end is not None)


def never_said(model: Any) -> list[int]:
    """Tokens that its makers forbid: the padding of a model that translates, say."""
    told = model.generation_config
    return [*(told.suppress_tokens or ()), *(word[0] for word in told.bad_words_ids or () if len(word) == 1)]


def plain_model(model: Any) -> Any:
    """The model itself, whether it is wrapped in an adapter or not."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def begins(model: Any) -> dict[str, Any]:
    """With which token a writer begins, and which it must say first, as its makers set it."""
    told, config = model.generation_config, model.config
    start = told.decoder_start_token_id
    start = getattr(config, "decoder_start_token_id", None) if start is None else start
    fallback = told.bos_token_id if told.bos_token_id is not None else told.pad_token_id
    return {
        "decoder_start_token_id": fallback if start is None else start,
        "forced_bos_token_id": told.forced_bos_token_id,
    }


def last_logits_only(model: Any) -> dict[str, int]:
    """The argument that keeps a model from computing the logits of every position, where it knows one."""
    plain = plain_model(model)
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(plain.forward).parameters else {}


def room_for_reply(prompt_ids: Sequence[int], context: int) -> int:
    """Tokens that still fit after a prompt; a refusal when there is none."""
    room = context - len(prompt_ids)
    if room < 1:
        raise StudioError(
            "bad-setting",
            "The conversation is longer than the model can read.",
            given=f"{len(prompt_ids):,} tokens",
            valid=f"fewer than {context:,} tokens",
            hint="Begin a new conversation, or make the prompt shorter.",
            field="prompt",
        )
    return room
