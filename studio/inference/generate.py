"""Replies of a language model: token by token for chat, complete for test prompts, in batches for many rows.

Temperature 0 picks the likeliest token. With a higher temperature, the same seed gives the same text.
"""

import inspect
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.inference.interruption import pause
from studio.schema.errors import StudioError
from studio.schema.report import Answer, ChatSettings

END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|eot|>", "<|end|>", "<end_of_turn>", "<|end_of_text|>", "<|endoftext|>")
"""End-of-turn tokens of known chat templates. Each is used if it is a special token of the model."""
NEUTRAL_GENERATION: Mapping[str, Any] = {
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
"""Neutral values for generation settings. Without them, transformers uses those in the model's generation config, and
a model for summaries of 56 words or more could not write a headline."""
REPLACEMENT = "\ufffd"
"""The replacement character, which ends a text while the bytes of a character are incomplete."""


@dataclass(frozen=True)
class BatchOptions:
    """How many prompts are answered: generation settings, progress and cancellation."""

    settings: ChatSettings
    progress: Callable[[int, int], None]
    """Called with the rows done and all rows."""
    stop: Callable[[], bool] = lambda: False

    def limited(self, max_tokens: int, **changes: Any) -> ChatSettings:
        """Return the settings with a limit of the reply's tokens."""
        return self.settings.model_copy(
            update={"max_new_tokens": min(self.settings.max_new_tokens, max_tokens), **changes}
        )


class Reply:
    """A reply in progress. Each `step` adds one token, until it returns False."""

    def __init__(
        self, model: Any, tokenizer: Any, prompt_ids: Sequence[int], settings: ChatSettings, context: int = 2**20
    ) -> None:
        import torch

        is_encoder_decoder = model.config.is_encoder_decoder
        self.limit = min(
            settings.max_new_tokens, context if is_encoder_decoder else max_reply_tokens(prompt_ids, context)
        )
        self.ids: list[int] = []
        self.text, self.finished, self.seconds, self.ended = "", False, 0.0, False
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._ends, self._suppressed = end_tokens(model, tokenizer), suppressed_tokens(model)
        self._arguments: dict[str, Any] = last_logits_only(model)
        self._input = "input_ids"
        self._next = torch.tensor([list(prompt_ids)], device=model.device)
        self._forced: list[int] = []
        if is_encoder_decoder:
            self._encode_input()
        self._cache: Any = None
        self._random = torch.Generator(device=model.device).manual_seed(settings.seed)

    def step(self) -> bool:
        """Add a token. Return False if the reply is complete."""
        import torch

        if self.finished:
            return False
        started = time.perf_counter()
        with torch.no_grad():
            out = self._model(
                **{self._input: self._next},
                past_key_values=self._cache,
                use_cache=True,
                return_dict=True,
                **self._arguments,
            )
        logits = out.logits[0, -1].float()
        logits[self._suppressed] = -float("inf")
        token = sample_token(logits, self._settings, self._random)
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
            self.text = self._tokenizer.decode(self.ids, skip_special_tokens=True).rstrip(REPLACEMENT)
        self.seconds += time.perf_counter() - started
        return not self.finished

    def _encode_input(self) -> None:
        """Run the encoder once. The decoder then continues from its start token."""
        import torch

        base_model = plain_model(self._model)
        inputs = {"input_ids": self._next, "attention_mask": torch.ones_like(self._next)}
        with torch.no_grad():
            encoded = base_model.get_encoder()(**inputs, return_dict=True)
        self._arguments = {"encoder_outputs": encoded, "attention_mask": inputs["attention_mask"]}
        begin = decoder_start(base_model)
        self._input, self._next = "decoder_input_ids", torch.tensor([[begin["decoder_start_token_id"]]])
        self._next = self._next.to(self._model.device)
        self._forced = [begin["forced_bos_token_id"]] if begin["forced_bos_token_id"] is not None else []

    def answer(self, how: str = "") -> Answer:
        """Return the reply so far as an answer."""
        cut = "" if self.ended or not self.finished else f"Stopped at the limit of {len(self.ids)} tokens."
        words = " ".join(filter(None, (how, cut)))
        return Answer(text=self.text, tokens=len(self.ids), seconds=round(self.seconds, 3), how=words)

    def _decode(self) -> str:
        """Return the text so far, without an incomplete character at the end."""
        text: str = self._tokenizer.decode(self.ids, skip_special_tokens=True)
        return self.text if text.endswith(REPLACEMENT) else text


def reply(model: Any, tokenizer: Any, prompt_ids: Sequence[int], settings: ChatSettings) -> Answer:
    """Return a complete reply. A model in training mode is switched to evaluation mode and back."""
    training = model.training
    model.eval()
    try:
        reply_ = Reply(model, tokenizer, prompt_ids, settings)
        while reply_.step():
            pass
        return reply_.answer()
    finally:
        model.train(training)


def replies(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    settings: ChatSettings,
    after_token: Callable[[int, int], bool] = lambda tokens, finished: False,
) -> list[str]:
    """Return replies to a batch of prompts, padded on the left.

    `after_token` gets the number of tokens of each reply so far, and the number of finished replies. It returns
    whether to stop.
    """
    begun = BegunReplies(prompts, [[] for _ in prompts])
    ids = generate_ids(model, tokenizer, begun, settings, after_token)
    return [decode_reply(tokenizer, each) for each in ids]


def decode_reply(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of a reply's tokens."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text.rstrip(REPLACEMENT)


@dataclass(frozen=True)
class BegunReplies:
    """Prompts, and the tokens of each reply so far, equally many for each prompt."""

    prompts: Sequence[Sequence[int]]
    written: Sequence[Sequence[int]]


def generate_ids(
    model: Any, tokenizer: Any, begun: BegunReplies, settings: ChatSettings, after_token: Callable[[int, int], bool]
) -> list[list[int]]:
    """Return the next tokens of each reply, with padding after the end of shorter ones.

    The tokens that are written count for the limit of tokens. `after_token` is as in `replies`.
    """
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    is_encoder_decoder, pad = model.config.is_encoder_decoder, tokenizer.pad_token_id
    pairs = list(zip(begun.prompts, begun.written, strict=True))
    texts = [prompt if is_encoder_decoder else [*prompt, *written] for prompt, written in pairs]
    longest = max(map(len, texts))
    ids = torch.tensor([[pad] * (longest - len(text)) + list(text) for text in texts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts], device=model.device)
    sampled = settings.temperature > 0
    ends = sorted(end_tokens(model, tokenizer))
    before = len(begun.written[0])
    start = 1 + before if is_encoder_decoder else longest
    last_tokens = torch.tensor([*ends, pad], device=model.device)
    begin = decoder_start(plain_model(model)) if is_encoder_decoder else {}
    decoder: dict[str, Any] = {}
    if is_encoder_decoder and before:
        first = begin["decoder_start_token_id"]
        decoder["decoder_input_ids"] = torch.tensor([[first, *each] for each in begun.written], device=model.device)
    config = GenerationConfig(
        do_sample=sampled,
        max_new_tokens=settings.max_new_tokens - before,
        eos_token_id=ends or None,
        pad_token_id=pad,
        **NEUTRAL_GENERATION,
        **begin,
        **({"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0} if sampled else {}),
    )

    def stopped(input_ids: Any, scores: Any, **_: Any) -> Any:
        pause()
        finished = int(torch.isin(input_ids[:, -1], last_tokens).sum())
        stops = after_token(before + input_ids.shape[1] - start, finished)
        return torch.full((len(input_ids),), stops, device=input_ids.device)

    with torch.no_grad(), torch.random.fork_rng(), warnings.catch_warnings():
        # transformers always makes position ids, and peft warns each time that virtual tokens do not support them
        warnings.filterwarnings("ignore", "Position ids are not supported")
        torch.manual_seed(settings.seed)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([stopped]),
            **decoder,
        )
    new_tokens: list[list[int]] = out[:, start:].tolist()
    return new_tokens


def sample_token(logits: Any, settings: ChatSettings, random: Any) -> int:
    """Return the next token from the logits of one position, by temperature and top-p."""
    import torch

    if settings.temperature == 0:
        return int(logits.argmax())
    shares, order = torch.softmax(logits / settings.temperature, dim=-1).sort(descending=True)
    if settings.top_p < 1:
        before = shares.cumsum(0) - shares
        shares = torch.where(before < settings.top_p, shares, torch.zeros_like(shares))
    return int(order[torch.multinomial(shares, 1, generator=random)])


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a reply."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    known = [tokenizer.convert_tokens_to_ids(token) for token in END_OF_TURN if token in tokenizer.all_special_tokens]
    ends = [tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured]), *known]
    return frozenset(int(end) for end in ends if end is not None)


def suppressed_tokens(model: Any) -> list[int]:
    """Return the tokens that the model's generation config forbids, such as padding in translation models."""
    config = model.generation_config
    return [*(config.suppress_tokens or ()), *(word[0] for word in config.bad_words_ids or () if len(word) == 1)]


def plain_model(model: Any) -> Any:
    """Return the model without an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_start(model: Any) -> dict[str, Any]:
    """Return the decoder's start token and forced first token, from the model's configs."""
    generation_config, config = model.generation_config, model.config
    start = generation_config.decoder_start_token_id
    start = getattr(config, "decoder_start_token_id", None) if start is None else start
    fallback = (
        generation_config.bos_token_id if generation_config.bos_token_id is not None else generation_config.pad_token_id
    )
    return {
        "decoder_start_token_id": fallback if start is None else start,
        "forced_bos_token_id": generation_config.forced_bos_token_id,
    }


def last_logits_only(model: Any) -> dict[str, int]:
    """Return the argument that limits logits to the last position, if the model supports it."""
    base_model = plain_model(model)
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(base_model.forward).parameters else {}


def max_reply_tokens(prompt_ids: Sequence[int], context: int) -> int:
    """Return the number of tokens that fit after a prompt. Raise `StudioError` if there are none."""
    remaining = context - len(prompt_ids)
    if remaining < 1:
        raise StudioError(
            "bad-setting",
            "The conversation is longer than the model's context length.",
            given=f"{len(prompt_ids):,} tokens",
            valid=f"fewer than {context:,} tokens",
            hint="Start a new conversation, or shorten the prompt.",
            field="prompt",
        )
    return remaining
