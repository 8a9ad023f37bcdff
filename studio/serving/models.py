"""The models of a gateway: by name, with engine, turns, and the length of their prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.schema.serving import Generation, PreparedModel, ServedModel, ServeLimits
from studio.serving.bodies import Sampling
from studio.serving.errors import ApiError
from studio.serving.supervisor import EngineProcess
from studio.serving.turns import Turns

MESSAGE_TOKENS, DEFAULT_SYSTEM_TOKENS = 8, 40
"""Tokens that ChatML and the templates of Llama and Gemma add to a message, and the default system prompt of Qwen."""


@dataclass
class Served:
    """A model, and what answers for it."""

    model: ServedModel
    engine: EngineProcess
    turns: Turns
    facts: PreparedModel | None = None
    """For engines that need a folder with weights."""
    tokenizer: Any = None
    """A `tokenizers.Tokenizer` that counts tokens. None where the engine counts them, or there is no tokenizer.json."""

    def generation(
        self, sampling: Sampling, limits: ServeLimits, messages: Sequence[dict[str, str]] = (), prompt: str = ""
    ) -> Generation:
        """What the engine is asked for: with the system prompt of the run, within the context of the model.

        Raises:
            ApiError: 400 for a prompt that is too long.
        """
        turns = [dict(each) for each in messages]
        system = "" if self.engine.engine.prepares_prompts else self.model.system_prompt
        if turns and system and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": system})
        if self.facts is not None and self.facts.merges_system and len(turns) > 1 and turns[0]["role"] == "system":
            first = f"{turns[0]['content']}\n\n{turns[1]['content']}"
            turns[:2] = [{"role": turns[1]["role"], "content": first}]
        new_tokens = sampling.max_tokens or min(limits.default_new_tokens, limits.new_tokens)
        tokens = self._prompt_tokens(turns, prompt)
        return Generation(
            messages=tuple(turns),
            prompt=prompt,
            max_tokens=min(new_tokens, self.engine.engine.context(self.model) - tokens),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            prompt_tokens=tokens,
        )

    def _prompt_tokens(self, turns: Sequence[dict[str, Any]], prompt: str) -> int:
        """Tokens of a prompt, at most, with room for a reply after it. 0 where only the engine counts them."""
        context = self.engine.engine.context(self.model)
        if self.tokenizer is None:
            return 0
        of_template = 0
        if turns:
            of_template = self.facts.tokens_per_message * len(turns) if self.facts else template_tokens(len(turns))
        texts = [str(each["content"]) for each in turns] or [prompt]
        tokens = sum(len(self.tokenizer.encode(each, add_special_tokens=False).ids) for each in texts) + of_template
        if tokens >= context:
            raise ApiError(
                400,
                f"This model's maximum context length is {context:,} tokens. The prompt has about {tokens:,}.",
                "context_length_exceeded",
                param="messages" if turns else "prompt",
            )
        return tokens


def template_tokens(messages: int) -> int:
    """An upper bound of the tokens that a common chat template adds to so many messages."""
    return DEFAULT_SYSTEM_TOKENS + MESSAGE_TOKENS * messages


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer that counts tokens, from `tokenizer.json`. None when there is no such file."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    return Tokenizer.from_file(str(path)) if path.exists() else None


class Directory:
    """All models of a gateway."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.all = tuple(served)
        self._by_name = {each.model.name: each for each in served}
        aliases = [each.model.alias for each in served if each.model.alias]
        for each in served:
            if each.model.alias and aliases.count(each.model.alias) == 1:
                self._by_name.setdefault(each.model.alias, each)

    @property
    def engines(self) -> list[EngineProcess]:
        """The engines, each once."""
        return list({id(each.engine): each.engine for each in self.all}.values())

    def named(self, name: str) -> Served:
        """The model of that name.

        Raises:
            ApiError: 404 for an unknown one.
        """
        served = self._by_name.get(name)
        if served is None:
            raise ApiError(
                404,
                f"The model '{name}' does not exist, or is not served here. GET /v1/models lists the models.",
                "model_not_found",
                param="model",
            )
        return served

    def find(self, name: str, classifies: bool) -> Served:
        """The model of that name, for one kind of answer.

        Raises:
            ApiError: 404 for an unknown one, 400 for one that gives the other kind.
        """
        served = self.named(name)
        if served.model.classifies != classifies:
            other = "/v1/classify" if served.model.classifies else "/v1/chat/completions"
            raise ApiError(400, f"The model '{name}' can't be used here. Use {other}.", "wrong_endpoint", param="model")
        return served

    def document(self) -> dict[str, Any]:
        """The answer to GET /v1/models."""
        return {"object": "list", "data": [self.row(each) for each in self.all]}

    def row(self, served: Served) -> dict[str, Any]:
        """One model in OpenAI's format, and what the studio adds: the other name, the base model, the endpoint."""
        model = served.model
        named = self._by_name.get(model.alias) is served
        return {
            "id": model.name,
            "object": "model",
            "created": model.created,
            "owned_by": "finetune-studio",
            "name": model.alias if named else model.name,
            "base_model": model.base,
            "fine_tuned": model.who == "tuned",
            "endpoint": "/v1/classify" if model.classifies else "/v1/chat/completions",
        }
