"""Bodies of requests, checked as OpenAI checks them: unknown parameters and wrong values are refused, by name.

Parameters that change no reply (`user`, `metadata`, …) are ignored. Those that the engines can't honor are refused,
unless they have the value that changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.data.limits import depth_of
from studio.schema.serving import ServeLimits
from studio.serving.errors import ApiError, bad_value, printable

IGNORED = frozenset(("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"))
SHARED = frozenset(("model", "max_tokens", "temperature", "top_p", "n", "stop", "stream", "stream_options", "seed"))
CHAT = SHARED | {"messages", "max_completion_tokens"}
TEXT = SHARED | {"prompt"}
LABELS = frozenset(("model", "input"))
WITHOUT_EFFECT: Mapping[str, tuple[Any, ...]] = {
    "presence_penalty": (0, None),
    "frequency_penalty": (0, None),
    "logit_bias": ({}, None),
    "logprobs": (False, None),
    "top_logprobs": (0, None),
    "response_format": ({"type": "text"}, None),
    "tools": ([], None),
    "tool_choice": ("none", "auto", None),
    "parallel_tool_calls": (True, False, None),
    "functions": ([], None),
    "function_call": ("none", "auto", None),
    "modalities": (["text"], None),
    "audio": (None,),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "verbosity": (None,),
    "web_search_options": (None,),
    "echo": (False, None),
    "suffix": ("", None),
    "best_of": (1, None),
}
"""Parameters that OpenAI has and the engines have not → the values that change nothing."""
ROLES = ("system", "developer", "user", "assistant")
READ_IN_MESSAGES = frozenset(("role", "content", "name", "refusal", "reasoning_content"))
"""Parts of a message. Clients send back what they got, with the reasoning, which the next prompt does not need."""
DEEPEST = 16
MOST_STOPS, LONGEST_STOP = 4, 200


@dataclass(frozen=True)
class Sampling:
    """What all requests for text have in common."""

    model: str
    max_tokens: int | None
    temperature: float
    top_p: float
    n: int
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    seed: int | None


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        ApiError: 400 for anything else.
    """
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body of this request is not valid JSON in UTF-8.", "invalid_json") from error
    if not isinstance(body, dict):
        raise ApiError(400, "The body of this request must be a JSON object.", "invalid_json")
    if depth_of(body) > DEEPEST:
        raise ApiError(400, f"The JSON is nested more than {DEEPEST} levels deep.", "invalid_json")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def check_names(body: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse parameters that are unknown, or known and not supported."""
    for name, value in body.items():
        if name in known or name in IGNORED:
            continue
        if name not in WITHOUT_EFFECT:
            raise ApiError(
                400, f"Unrecognized request argument supplied: {name[:100]}", "unknown_parameter", param=name[:100]
            )
        if not any(value is each or (value == each and type(value) is type(each)) for each in _values(name)):
            raise ApiError(
                400, f"This server does not support the parameter '{name}'.", "unsupported_parameter", param=name
            )


def _values(name: str) -> Sequence[Any]:
    values = WITHOUT_EFFECT[name]
    return (*values, 0.0) if 0 in values else values


def model_of(body: Mapping[str, Any]) -> str:
    """The name of the model that a request asks for."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "You must provide a model parameter.", "missing_required_parameter", param="model")
    return model[:400]


def sampling_of(body: Mapping[str, Any], limits: ServeLimits) -> Sampling:
    """The parameters that all requests for text have in common."""
    stream = _boolean(body, "stream")
    options = body.get("stream_options")
    if options is not None and (not stream or not isinstance(options, dict)):
        raise bad_value("stream_options", "it is an object, and only allowed when 'stream' is true.")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if stop is not None else []
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(each, str) for each in stops):
        raise bad_value("stop", f"expected a string, or up to {MOST_STOPS} strings.")
    if any(len(each) > LONGEST_STOP for each in stops):
        raise bad_value("stop", f"a stop sequence may have up to {LONGEST_STOP} characters.")
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    number = body.get("seed")
    return Sampling(
        model=model_of(body),
        max_tokens=_integer(body, name, 1, limits.new_tokens),
        temperature=_temperature(body, limits),
        top_p=_number(body, "top_p", 1e-6, 1, 1.0),
        n=_integer(body, "n", 1, limits.choices) or 1,
        stop=tuple(filter(None, stops)),
        stream=stream,
        include_usage=bool((options or {}).get("include_usage")),
        seed=None if number is None else (_integer(body, "seed", -(2**63), 2**63 - 1) or 0) % 2**31,
    )


def _temperature(body: Mapping[str, Any], limits: ServeLimits) -> float:
    temperature = _number(body, "temperature", 0, 2, 0.0 if limits.greedy else 1.0)
    if temperature and limits.greedy:
        raise bad_value("temperature", "this server was started with --greedy, so it is 0.")
    return temperature


def messages_of(body: Mapping[str, Any], limits: ServeLimits) -> list[dict[str, str]]:
    """The conversation, as text only."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "You must provide messages.", "missing_required_parameter", param="messages")
    if len(messages) > limits.messages:
        raise bad_value("messages", f"a conversation may have up to {limits.messages:,} messages.")
    read = [_message(each, f"messages.[{place}]") for place, each in enumerate(messages)]
    _check_length(sum(len(each["content"]) for each in read), limits, "messages")
    return read


def _message(message: Any, place: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise bad_value(place, "expected an object with 'role' and 'content'.")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise bad_value(f"{place}.role", f"expected one of {', '.join(ROLES)}.")
    for name in message:
        if name not in READ_IN_MESSAGES and message[name] not in (None, []):
            raise bad_value(place, "only 'role' and 'content' are supported.")
    if isinstance(content, list):
        if not all(isinstance(each, dict) and isinstance(each.get("text"), str) for each in content):
            raise bad_value(f"{place}.content", "this server reads text only.")
        content = "".join(each["text"] for each in content)
    if not isinstance(content, str):
        raise bad_value(f"{place}.content", "expected a string.")
    return {"role": "system" if role == "developer" else role, "content": printable(content)}


def prompts_of(body: Mapping[str, Any], limits: ServeLimits) -> list[str]:
    """The texts to continue."""
    return _texts(body, "prompt", limits.choices, limits)


def inputs_of(body: Mapping[str, Any], limits: ServeLimits) -> list[str]:
    """The texts to classify."""
    return _texts(body, "input", limits.inputs, limits)


def _texts(body: Mapping[str, Any], name: str, most: int, limits: ServeLimits) -> list[str]:
    value = body.get(name)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise bad_value(name, "expected a string, or a list of strings.")
    if len(texts) > most:
        raise bad_value(name, f"one request may have up to {most:,} texts.")
    if not all(texts):
        raise bad_value(name, "a text is empty.")
    _check_length(sum(map(len, texts)), limits, name)
    return [printable(each) for each in texts]


def _check_length(characters: int, limits: ServeLimits, param: str) -> None:
    if characters > limits.prompt_characters:
        raise ApiError(
            400,
            f"The prompt has {characters:,} characters. This server accepts up to {limits.prompt_characters:,}.",
            "context_length_exceeded",
            param=param,
        )


def _boolean(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad_value(name, "expected true or false.")
    return bool(value)


def _integer(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad_value(name, f"expected a whole number from {least:,} to {most:,}.")
    return value


def _number(body: Mapping[str, Any], name: str, least: float, most: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise bad_value(name, f"expected a number from {least:g} to {most:g}.")
    return float(value)
