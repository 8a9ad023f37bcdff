"""Side by side: the base pane is the untouched base, the tuned pane is not, and both move."""

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_runs import chat_run, starter, tiny_llama

from studio.inference.base_and_tuned import ModelPair, load_pair
from studio.inference.generate import Reply, reply
from studio.inference.load import load_base, load_tokenizer
from studio.inference.side_by_side import step_by_step
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.report import Answer, ChatSettings
from studio.schema.views import ChatChunk

QUESTION = "Where is my parcel?"
TOKENS = 24


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRef:
    return chat_run(starter("starter-chat"), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def base_alone(run: RunRef) -> tuple[str, list[int]]:
    """The reply of the base with no studio around it, and its prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = run.info.path
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": QUESTION}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    out = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS)[0]
    start = inputs["input_ids"].shape[1]
    return tokenizer.decode(out[start:], skip_special_tokens=True), out[:start].tolist()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    folder = tmp_path_factory.mktemp("tiny")
    return load_pair(chat_run(tiny_llama(folder / "base"), folder / "run", precision="float32"))


def ends(chunks: Iterable[ChatChunk | None]) -> dict[str, Answer]:
    return {chunk.who: chunk.answer for chunk in chunks if chunk and chunk.answer}


@pytest.mark.parametrize("one_copy", [False, True], ids=["two copies", "one copy"])
def test_the_base_pane_says_token_for_token_what_the_base_alone_says(
    run: RunRef, base_alone: tuple[str, list[int]], one_copy: bool
) -> None:
    pair = load_pair(run, one_copy)
    prompt = pair.task.prompt_ids(QUESTION, pair.encoding())
    assert prompt == base_alone[1]
    said = ends(step_by_step(pair, prompt, ChatSettings(max_new_tokens=TOKENS)))
    assert said["base"].text == base_alone[0]
    assert said["tuned"].text != base_alone[0], "the adapter changes nothing, so this test shows nothing"


def test_a_chat_within_an_evaluation_of_the_base_is_answered_by_the_right_model(tiny: ModelPair) -> None:
    beside, settings = load_pair(tiny.run, one_copy=True), ChatSettings(max_new_tokens=8)

    def said(who: str) -> str:
        return reply(beside.model_for(who), beside.tokenizer, [1, 5, 9], settings).text

    alone = {who: said(who) for who in ("base", "tuned")}
    assert alone["base"] != alone["tuned"]
    model = beside.model_for("base")
    assert said("tuned") == alone["tuned"] and said("base") == alone["base"]
    assert reply(model, beside.tokenizer, [1, 5, 9], settings).text == alone["base"]
    assert said("tuned") == alone["tuned"]


def test_both_panes_move_by_turns(tiny: ModelPair) -> None:
    prompt = tiny.task.prompt_ids(QUESTION, tiny.encoding())
    replies = {who: 0 for who in ("base", "tuned")}
    for chunk in filter(None, step_by_step(tiny, prompt, ChatSettings(max_new_tokens=200))):
        replies[chunk.who] += 1
        if chunk.done:
            break
    assert min(replies.values()) >= 2, "one pane waited for the other"


def test_a_stop_keeps_what_was_said_so_far(tiny: ModelPair) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    prompt = tiny.task.prompt_ids(QUESTION, tiny.encoding())
    said = ends(step_by_step(tiny, prompt, ChatSettings(max_new_tokens=200), stop))
    assert {who: answer.tokens for who, answer in said.items()} == {"base": 5, "tuned": 5}


def test_the_same_seed_gives_the_same_words_and_another_seed_others(tiny: ModelPair) -> None:
    prompt = tiny.task.prompt_ids(QUESTION, tiny.encoding())

    def said(seed: int, temperature: float = 1.0, top_p: float = 1.0) -> str:
        settings = ChatSettings(max_new_tokens=12, temperature=temperature, top_p=top_p, seed=seed)
        return reply(tiny.base, tiny.tokenizer, prompt, settings).text

    assert said(1) == said(1) != said(2)
    assert said(1, top_p=1e-6) == said(2, temperature=0.0), "the smallest word pool leaves the likeliest word"


def test_a_reply_says_that_it_was_cut_off(tiny: ModelPair) -> None:
    prompt = tiny.task.prompt_ids(QUESTION, tiny.encoding())
    answer = reply(tiny.base, tiny.tokenizer, prompt, ChatSettings(max_new_tokens=3))
    assert (answer.tokens, answer.how) == (3, "Stopped at the limit of 3 tokens.")


def test_a_model_in_training_is_still_in_training_after_a_reply(tiny: ModelPair) -> None:
    tiny.tuned.train()
    reply(tiny.tuned, tiny.tokenizer, [1, 2, 3], ChatSettings(max_new_tokens=1))
    assert tiny.tuned.training
    tiny.tuned.eval()


def test_a_conversation_that_is_too_long_is_refused_and_a_near_one_gets_what_is_left(tiny: ModelPair) -> None:
    full = [1] * tiny.context
    with pytest.raises(StudioError) as refused:
        Reply(tiny.base, tiny.tokenizer, full, ChatSettings(), tiny.context)
    assert refused.value.code == "bad-setting"
    assert Reply(tiny.base, tiny.tokenizer, full[:-7], ChatSettings(), tiny.context).limit == 7


class Spelling:
    """A language model that says given tokens one after the other."""

    def __init__(self, ids: list[int], vocabulary: int) -> None:
        from transformers import GenerationConfig

        self.ids, self.vocabulary, self.device = iter(ids), vocabulary, "cpu"
        self.generation_config = GenerationConfig(eos_token_id=[2])
        self.config = SimpleNamespace(is_encoder_decoder=False)

    def forward(self, input_ids: Any, logits_to_keep: int = 0) -> None: ...

    def __call__(self, **inputs: Any) -> Any:
        import torch

        logits = torch.zeros(1, 1, self.vocabulary)
        logits[0, 0, next(self.ids)] = 1
        return SimpleNamespace(logits=logits, past_key_values=None)


def spelled(tokenizer: Any, text: str) -> Iterator[str]:
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], 2]
    whole, text, more = Reply(Spelling(ids, len(tokenizer)), tokenizer, [1], ChatSettings()), "", True
    while more:
        more = whole.step()
        if whole.text != text:
            text = whole.text
            yield text


def test_characters_in_several_tokens_are_never_shown_in_pieces(tiny: ModelPair) -> None:
    text = "naïve 😀 日本語 👩‍🚀 done"
    seen = list(spelled(tiny.tokenizer, text))
    assert seen[-1] == text and len(seen) > 4
    assert not any("\ufffd" in each for each in seen)
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))


def test_a_reply_ends_where_the_model_ends_its_turn(tiny: ModelPair) -> None:
    ids = [*tiny.tokenizer("Yes.", add_special_tokens=False)["input_ids"], tiny.tokenizer.eos_token_id]
    whole = Reply(Spelling([*ids, 5, 6], len(tiny.tokenizer)), tiny.tokenizer, [1], ChatSettings())
    while whole.step():
        pass
    assert whole.answer() == Answer(text="Yes.", tokens=len(ids) - 1, seconds=whole.answer().seconds)


def test_a_path_in_the_adapters_config_is_not_followed(tiny: ModelPair, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.run.folder, tmp_path / "run"))
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/somewhere/else"
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    moved = load_pair(tiny.run.model_copy(update={"folder": str(folder)}))
    settings = ChatSettings(max_new_tokens=8)
    assert [reply(each.tuned, each.tokenizer, [1, 5, 9], settings).text for each in (moved, tiny)].count("") == 0
    assert (
        reply(moved.tuned, moved.tokenizer, [1, 5, 9], settings).text
        == reply(tiny.tuned, tiny.tokenizer, [1, 5, 9], settings).text
    )


def test_a_pickled_adapter_is_not_read(tiny: ModelPair, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.run.folder, tmp_path / "run"))
    (folder / "adapter" / "adapter_model.safetensors").rename(folder / "adapter" / "adapter_model.bin")
    with pytest.raises(StudioError) as refused:
        load_pair(tiny.run.model_copy(update={"folder": str(folder)}))
    assert refused.value.code == "damaged-run"


def test_a_run_without_a_result_is_refused(tiny: ModelPair, tmp_path: Path) -> None:
    with pytest.raises(StudioError) as refused:
        load_pair(tiny.run.model_copy(update={"folder": str(tmp_path)}))
    assert refused.value.code == "wrong-state"


def test_weights_in_a_pickle_are_not_read_unless_that_was_allowed(tmp_path: Path) -> None:
    import torch

    info = tiny_llama(tmp_path / "base")
    whole = load_base(info, "float32").state_dict()
    torch.save(whole, tmp_path / "base" / "pytorch_model.bin")
    (tmp_path / "base" / "model.safetensors").unlink()
    with pytest.raises(StudioError) as refused:
        load_base(info, "float32")
    assert refused.value.code == "broken-model"
    with pytest.raises(StudioError) as refused:
        load_tokenizer(info.model_copy(update={"needs_trust": "Its weights are pickle files."}))
    assert refused.value.code == "unsafe-model"
    assert load_base(info, "float32", trusted=True) is not None


def test_a_full_run_answers_with_its_own_weights_and_the_base_with_the_bases(tmp_path: Path) -> None:
    pair = load_pair(chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", "full", "float32"))
    alone = load_base(pair.run.info, "float32")
    name = "model.layers.0.mlp.down_proj.weight"
    assert (pair.base.state_dict()[name] == alone.state_dict()[name]).all()
    assert (pair.tuned.state_dict()[name] != alone.state_dict()[name]).any()


def test_one_copy_or_two_is_chosen_by_the_memory_that_is_free(tiny: ModelPair) -> None:
    assert not load_pair(tiny.run).one_copy
    larger_than_any = tiny.run.info.model_copy(update={"parameters": 10**13})
    assert load_pair(tiny.run.model_copy(update={"info": larger_than_any})).one_copy


def test_qlora_says_that_the_base_is_unquantized(tmp_path: Path) -> None:
    pair = load_pair(chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", "qlora", "float32"))
    prompt = pair.task.prompt_ids(QUESTION, pair.encoding())
    said = ends(step_by_step(pair, prompt, ChatSettings(max_new_tokens=2)))
    assert "without quantization" in said["tuned"].how and "quantization" not in said["base"].how
