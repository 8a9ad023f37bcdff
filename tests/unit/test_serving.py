"""The API server without an engine: bodies, keys, turns, stop sequences, and the command lines of engines."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.cli.main import run as run_command
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.runs import RunSpec
from studio.schema.serving import Generation, ServedModel, ServeLimits, ServeRequest
from studio.serving import bodies
from studio.serving.engines import ENGINES, choose_engine
from studio.serving.engines.vllm import unservable_by_vllm
from studio.serving.errors import ApiError
from studio.serving.models import Directory, Served
from studio.serving.replies import Reply
from studio.serving.server import check_access
from studio.serving.turns import Turns
from studio.store import Home
from studio.store.api_keys import ApiKeys, matching
from tests.scripted_engine import lora_run

LIMITS = ServeLimits(prompt_characters=1000, choices=4, new_tokens=64)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def refused(body: Mapping[str, Any]) -> ApiError:
    """The error for a chat request."""
    with pytest.raises(ApiError) as caught:
        parsed = bodies.parse(json.dumps(body).encode())
        bodies.check_names(parsed, bodies.CHAT)
        bodies.sampling_of(parsed, LIMITS)
        bodies.messages_of(parsed, LIMITS)
    return caught.value


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"foo": 1}, "foo", "unknown_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"logprobs": 0}, "logprobs", "unsupported_parameter"),
        ({"presence_penalty": 0.5}, "presence_penalty", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"max_tokens": 65}, "max_tokens", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_value"),
        ({"n": 5}, "n", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": 5}, "stop", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"model": ""}, "model", "missing_required_parameter"),
        ({"messages": []}, "messages", "missing_required_parameter"),
        ({"messages": ["Hi"]}, "messages.[0]", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.[0].content", "invalid_value"),
        ({"messages": [{"role": "user", "content": "x" * 1001}]}, "messages", "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": "x"}] * 201}, "messages", "invalid_value"),
    ],
)
def test_a_parameter_that_can_not_be_honored_is_refused_by_name(change: dict[str, Any], param: str, code: str) -> None:
    error = refused({**CHAT, **change})
    assert (error.status, error.param, error.code) == (400, param, code)
    assert error.document()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("change", [{"half \ud800": 1}, {"model": "\udfff", "messages": 7}, {"stop": ["\ud800"] * 5}])
def test_an_error_about_half_a_character_can_be_sent(change: dict[str, Any]) -> None:
    error = json.loads(bytes(refused({**CHAT, **change}).response().body))["error"]
    assert error["message"] and "\ud800" not in f"{error['message']}{error['param']}"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a":' * 20 + b"1" + b"}" * 20]
)
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        bodies.parse(raw)
    assert caught.value.status == 400


def test_parameters_without_an_effect_are_accepted_and_parts_of_text_are_joined() -> None:
    body = {
        **CHAT,
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b\ud800"}]},
            {"role": "assistant", "content": "c", "reasoning_content": "Hm.", "tool_calls": None, "refusal": None},
        ],
        "user": "anna",
        "presence_penalty": 0.0,
        "tools": [],
        "stop": "END",
        "seed": -1,
        "max_completion_tokens": 7,
    }
    bodies.check_names(body, bodies.CHAT)
    sampling = bodies.sampling_of(body, LIMITS)
    assert (sampling.max_tokens, sampling.stop, sampling.n, sampling.temperature) == (7, ("END",), 1, 1.0)
    assert sampling.seed is not None and 0 <= sampling.seed < 2**31
    assert bodies.messages_of(body, LIMITS) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "ab?"},
        {"role": "assistant", "content": "c"},
    ]


def test_requests_beyond_the_queue_are_refused_and_turns_are_given_back() -> None:
    async def run() -> list[str]:
        turns, order, hold = Turns(1, 1), [], asyncio.Event()

        async def ask(name: str) -> None:
            try:
                async with turns.turn():
                    await hold.wait()
                    order.append(name)
            except ApiError as error:
                order.append(f"{name} {error.status}")

        tasks = [asyncio.create_task(ask(name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0.01)
        tasks[1].cancel()  # a client that leaves while it waits
        hold.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turns.turn():
            return [*order, str((turns.running, turns.waiting))]

    assert asyncio.run(run()) == ["third 429", "first", "(1, 0)"]


@pytest.mark.parametrize(
    ("pieces", "stop", "expected"),
    [
        (["Hel", "lo EN", "D more"], ["END"], ("Hello ", True)),
        (["Hello E", "N"], ["END"], ("Hello EN", False)),
        (["a", "b", "c"], ["bc", "c"], ("a", True)),
        (["aab"], ["ab"], ("a", True)),
        (["aaa", "b"], ["aab"], ("a", True)),
    ],
)
def test_a_reply_ends_before_a_stop_sequence_that_comes_in_pieces(
    pieces: list[str], stop: list[str], expected: tuple[str, bool]
) -> None:
    reply = Reply(None, None, Generation(prompt="x", max_tokens=1), stop)  # type: ignore[arg-type]
    text, ended = "", False
    for piece in pieces:
        passed, ended = reply._until_stop(piece)
        text += passed
        if ended:
            break
    assert (text + ("" if ended else reply._pending), ended) == expected


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path / "home")


def test_a_key_is_stored_as_a_hash_and_can_be_removed(home: Home) -> None:
    keys = ApiKeys(home)
    key = keys.add("laptop")
    assert key not in keys.path.read_text() and keys.path.stat().st_mode & 0o777 == 0o600
    found = matching(key, keys.all())
    assert found is not None and found.name == "laptop"
    assert matching(key + "x", keys.all()) is None and matching("", keys.all()) is None
    for bad in ("laptop", "", "../x", "a b"):
        with pytest.raises(StudioError):
            keys.add(bad)
    keys.remove("laptop")
    assert matching(key, keys.all()) is None
    with pytest.raises(StudioError) as caught:
        keys.remove("laptop")
    assert caught.value.code == "unknown-name"


def test_the_command_makes_a_key_that_it_shows_once_and_lists_and_removes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str) -> str:
        assert run_command(["--home", str(tmp_path / "home"), "serve-api", *arguments]) == 0
        return capfd.readouterr().out

    key = json.loads(call("--new-key", "laptop", "--json"))["key"]
    assert call("--new-key", "phone").startswith("sk-studio-")
    listed = call("--keys")
    assert "laptop" in listed and "phone" in listed and key not in listed
    call("--remove-key", "laptop")
    assert [each["name"] for each in json.loads(call("--keys", "--json"))] == ["phone"]


def test_without_a_key_the_api_is_for_this_machine_alone(home: Home) -> None:
    for request in (
        ServeRequest(runs=("x",), host="0.0.0.0", without_key=True),
        ServeRequest(runs=("x",)),
    ):
        with pytest.raises(StudioError) as caught:
            check_access(home, request)
        assert caught.value.code == "password-needed"
    check_access(home, ServeRequest(runs=("x",), without_key=True))
    ApiKeys(home).add("laptop")
    check_access(home, ServeRequest(runs=("x",), host="0.0.0.0"))
    for without_key in (False, True):
        with pytest.raises(StudioError, match="all sites"):
            check_access(home, ServeRequest(runs=("x",), allow_origins=("*",), without_key=without_key))


def finished_run(studio: Studio, name: str) -> str:
    """A run that has an adapter."""
    config = TrainingConfig(task="chat", model="starter-chat", name=name)
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    runs = studio.context.workspace.runs
    run = runs.create(RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())).id
    runs.folder(run).adapter.mkdir(parents=True)
    (runs.folder(run).adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    runs.begin(run, os.getpid())
    runs.update(run, has_result=True)
    runs.set_status(run, "finished")
    return run


def test_several_runs_of_one_base_model_and_the_base_model_itself_have_names_of_their_own(studio: Studio) -> None:
    first, second = finished_run(studio, "tone"), finished_run(studio, "mood")
    models = studio.served_models.of([first, second, first])
    assert [each.name for each in models] == [first, second, "starter-chat"]
    assert [each.name for each in studio.served_models.of([first, second], base=False)] == [first, second]

    def directory(models: Sequence[ServedModel]) -> Directory:
        return Directory([Served(each, None, Turns(1, 1)) for each in models])  # type: ignore[arg-type]

    names = directory(models)
    assert [each["id"] for each in names.document()["data"]] == [first, second, "starter-chat"]
    for name, run in ((first, first), ("tone", first), ("mood", second), ("starter-chat", "starter-chat")):
        assert names.named(name).model.name == run
    alike = directory([each.model_copy(update={"alias": "tone"}) for each in models[:2]])
    assert [alike.named(each).model.name for each in (first, second)] == [first, second]
    with pytest.raises(ApiError, match="does not exist"):
        alike.named("tone")


def test_vllm_gets_the_base_model_with_unmerged_adapters_and_a_rank_that_it_accepts(tmp_path: Path) -> None:
    models = [lora_run(tmp_path, rank=24), lora_run(tmp_path, rank=8), lora_run(tmp_path, "base")]
    launch = ENGINES["vllm"].launch(models, {}, 5000, "hidden")
    words = list(launch.arguments)
    assert words[:2] == ["serve", str(tmp_path)]
    assert words[words.index("--max-lora-rank") + 1] == "32" and words[words.index("--max-loras") + 1] == "2"
    modules = [json.loads(each) for each in words[words.index("--lora-modules") + 1 :]]
    assert [(each["name"], each["base_model_name"]) for each in modules] == [("run-24", "base"), ("run-8", "base")]
    assert all((Path(each["path"]) / "adapter_config.json").exists() for each in modules)
    assert words[words.index("--host") + 1] == "127.0.0.1" and words[words.index("--port") + 1] == "5000"
    assert launch.environment["VLLM_API_KEY"] == "hidden" and "hidden" not in words
    assert [ENGINES["vllm"].model_name(each) for each in models] == ["run-24", "run-8", "base"]


def test_transformers_batches_only_where_all_replies_are_greedy(tmp_path: Path) -> None:
    engine, model = ENGINES["transformers"], lora_run(tmp_path)
    folders = {model.name: tmp_path / "cached" / "model"}
    launch = engine.launch([model], folders, 5002, "")
    assert "--no-continuous-batching" in launch.arguments and engine.slots(model) == 1
    assert launch.folder == tmp_path / "cached" and str(tmp_path) not in " ".join(launch.arguments)
    greedy = model.model_copy(update={"greedy": True})
    words = list(engine.launch([greedy], folders, 5002, "").arguments)
    assert "--continuous-batching" in words and "--cb-num-blocks" in words and engine.slots(greedy) > 1
    limits = ServeLimits(greedy=True)
    assert bodies.sampling_of(CHAT, limits).temperature == 0
    with pytest.raises(ApiError) as caught:
        bodies.sampling_of({**CHAT, "temperature": 0.7}, limits)
    assert caught.value.param == "temperature"


def test_vllm_is_not_chosen_for_what_it_can_not_serve_unmerged(tmp_path: Path) -> None:
    assert unservable_by_vllm(lora_run(tmp_path)) == ""
    for rank, config in ((25, {"use_dora": True}), (26, {"modules_to_save": ["lm_head"]}), (600, {})):
        assert unservable_by_vllm(lora_run(tmp_path, rank=rank, **config))


def test_engines_are_chosen_in_order_and_an_impossible_wish_is_refused(tmp_path: Path) -> None:
    model = lora_run(tmp_path)
    assert choose_engine(model).name == "transformers"
    assert choose_engine(model.model_copy(update={"classifies": True})).name == "studio"
    virtual = lora_run(tmp_path, rank=9, peft_type="PROMPT_TUNING")
    assert choose_engine(virtual).name == "studio"
    for wish, code in (("vllm", "wrong-model"), ("llama.cpp", "wrong-model"), ("ollama", "unknown-name")):
        with pytest.raises(StudioError) as caught:
            choose_engine(model, wish)
        assert caught.value.code == code


def test_prompts_that_the_task_formats_are_answered_by_the_code_of_the_chat(tmp_path: Path) -> None:
    """Another engine would get the text alone, without the instruction that the run was trained with."""
    model = lora_run(tmp_path)
    spec = model.run.spec
    data = DatasetSpec(task="summarization", roles={"text": "text", "short": "summary"})
    config = spec.config.model_copy(update={"task": "summarization"})
    run = model.run.model_copy(update={"spec": spec.model_copy(update={"config": config, "data": data})})
    model = model.model_copy(update={"run": run, "gguf": str(tmp_path / "model-q8_0.gguf")})
    assert choose_engine(model).name == "studio"
    assert "format prompts" in unservable_by_vllm(model)
    assert "format prompts" in ENGINES["llama.cpp"].unavailable_reason(model)
    assert choose_engine(model.model_copy(update={"who": "base"})).name == "transformers"


def test_llama_cpp_serves_the_exported_file_with_a_key(tmp_path: Path) -> None:
    model = lora_run(tmp_path).model_copy(update={"gguf": str(tmp_path / "tone-q8_0.gguf")})
    launch = ENGINES["llama.cpp"].launch([model], {}, 5001, "hidden")
    assert launch.entry == "llama_cpp.server" and launch.environment == {"API_KEY": "hidden"}
    assert list(launch.arguments)[:4] == ["--model", model.gguf, "--model_alias", model.name]
