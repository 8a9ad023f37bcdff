"""What `encode` gives is what training gets: token for token what TRL prepares, for every shape of chat row."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.models.starters import starter_folder
from studio.tasks import Encoding, task_named

CHAT = task_named("chat")
CLASSIFICATION = task_named("classification")
ROLES = {"q": "prompt", "c": "context", "a": "reply", "s": "system"}
ROWS = [
    {"q": "Where is my refund?", "c": "", "a": "It left us on Monday.", "s": ""},
    {"q": "Summarise this.", "c": "A van would not start.", "a": "Van late.\nBattery flat.", "s": ""},
    {"q": "Who are you?", "c": None, "a": "Nora – naïve, 日本語 and 🙂.", "s": "You are Nora."},
    {"q": "Long?", "c": "", "a": "word " * 80, "s": ""},
]
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hello. What is it?"},
    {"role": "user", "content": "My lamp broke"},
    {"role": "assistant", "content": "Send a photo."},
]
MARKED = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}{% generation %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endgeneration %}{% else %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The starter's own template with the replies marked, as TRL would have it."""
LIMIT = 64


def tokenizer_of(starter: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(starter_folder(starter))


def prepared_by_trl(
    tokenizer: Any, rows: list[dict[str, Any]], tmp_path: Path, **settings: Any
) -> list[dict[str, Any]]:
    """Rows as TRL's SFTTrainer makes them ready; the model is a toy, since only its tokenizer matters."""
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes))
    arguments = SFTConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_length=LIMIT,
        gradient_checkpointing=None,
        activation_checkpointing=False,
        **settings,
    )
    trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    return list(trainer.train_dataset)


def same_as_trl(ours: list[Any], theirs: list[dict[str, Any]]) -> None:
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert our.input_ids == their["input_ids"]
        assert our.labels == their["labels"]
        assert our.learned == [label != -100 for label in our.labels]


def test_a_prompt_and_its_reply_are_token_for_token_what_trl_trains_on(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("starter-chat")
    theirs = []
    for row in ROWS:
        prompt = f"{row['q']}\n\n{row['c']}" if row["c"] else row["q"]
        before = [{"role": "system", "content": row["s"]}] if row["s"] else []
        reply = [{"role": "assistant", "content": str(row["a"]).strip()}]
        theirs.append({"prompt": [*before, {"role": "user", "content": prompt}], "completion": reply})
    prepared = prepared_by_trl(tokenizer, theirs, tmp_path)
    encoding = Encoding(tokenizer, ROLES, max_length=LIMIT)
    same_as_trl([CHAT.encode(row, encoding) for row in ROWS], prepared)


def test_the_replies_of_a_conversation_are_token_for_token_what_trl_trains_on(tmp_path: Path) -> None:
    rows = [{"talk": TALK}, {"talk": TALK[1:]}, {"talk": TALK[1:3]}]
    marked = tokenizer_of("starter-chat")
    marked.chat_template = MARKED
    prepared = prepared_by_trl(marked, [{"messages": row["talk"]} for row in rows], tmp_path, assistant_only_loss=True)
    plain = Encoding(tokenizer_of("starter-chat"), {"talk": "messages"}, max_length=LIMIT)
    same_as_trl([CHAT.encode(row, plain) for row in rows], prepared)
    by_marks = Encoding(marked, {"talk": "messages"}, max_length=LIMIT)
    same_as_trl([CHAT.encode(row, by_marks) for row in rows], prepared)


def test_a_template_that_trl_prepares_for_training_is_used_as_trl_uses_it(tmp_path: Path) -> None:
    import trl
    from trl.chat_template_utils import get_training_chat_template

    tokenizer = tokenizer_of("starter-chat")
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen2_5.jinja").read_text()
    training = get_training_chat_template(tokenizer)
    assert training
    rows = [{"talk": TALK}, {"talk": TALK[1:]}]
    prepared = prepared_by_trl(
        tokenizer, [{"messages": row["talk"]} for row in rows], tmp_path, assistant_only_loss=True
    )
    encoding = Encoding(tokenizer, {"talk": "messages"}, max_length=LIMIT, training_template=training)
    same_as_trl([CHAT.encode(row, encoding) for row in rows], prepared)


def test_the_learned_tokens_are_the_reply_and_the_token_that_ends_it() -> None:
    tokenizer = tokenizer_of("starter-chat")
    example = CHAT.encode(ROWS[0], Encoding(tokenizer, ROLES, max_length=LIMIT))
    learned = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
    assert tokenizer.decode(learned) == "It left us on Monday.<|im_end|>\n"
    read = example.input_ids[: example.learned.index(True)]
    assert read == CHAT.prompt_ids("Where is my refund?", Encoding(tokenizer, ROLES, max_length=LIMIT))
    assert not example.truncated


def test_a_reply_beyond_the_limit_is_cut_at_its_end_and_said_so() -> None:
    tokenizer = tokenizer_of("starter-chat")
    whole = CHAT.encode(ROWS[3], Encoding(tokenizer, ROLES, max_length=1000))
    cut = CHAT.encode(ROWS[3], Encoding(tokenizer, ROLES, max_length=LIMIT))
    assert cut.truncated and cut.full_length == len(whole.input_ids) > LIMIT
    assert cut.input_ids == whole.input_ids[:LIMIT]
    assert cut.learned[-1] and tokenizer.eos_token_id not in cut.input_ids[-2:]


def test_the_system_prompt_of_the_settings_is_used_where_a_row_has_none() -> None:
    tokenizer = tokenizer_of("starter-chat")
    encoding = Encoding(tokenizer, ROLES, max_length=200, system_prompt="Speak like a sailor.")
    assert "Speak like a sailor." in tokenizer.decode(CHAT.encode(ROWS[0], encoding).input_ids)
    own = tokenizer.decode(CHAT.encode(ROWS[2], encoding).input_ids)
    assert "You are Nora." in own and "sailor" not in own
    assert "sailor" in tokenizer.decode(CHAT.prompt_ids("Hello", encoding))


def test_a_reply_of_weight_zero_is_read_and_not_learned() -> None:
    tokenizer = tokenizer_of("starter-chat")
    turns = [dict(turn) for turn in TALK]
    turns[2]["weight"] = 0
    example = CHAT.encode({"talk": json.dumps(turns)}, Encoding(tokenizer, {"talk": "messages"}, max_length=200))
    learned = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
    assert tokenizer.decode(learned) == "Send a photo.<|im_end|>\n"
    assert "What is it?" in tokenizer.decode(example.input_ids)


def test_a_base_model_without_a_template_gets_a_plain_one_that_ends_the_reply() -> None:
    tokenizer = tokenizer_of("starter-chat")
    tokenizer.chat_template = None
    encoding = Encoding(tokenizer, ROLES, max_length=200)
    example = CHAT.encode(ROWS[1], encoding)
    text = tokenizer.decode(example.input_ids)
    assert text.startswith("### Prompt:\nSummarise this.\n\nA van would not start.\n\n### Reply:\nVan late.")
    learned = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
    assert tokenizer.decode(learned) == f"Van late.\nBattery flat.{tokenizer.eos_token}"
    prompt = CHAT.prompt_ids(CHAT.prompt_of(ROWS[1], ROLES), encoding)
    assert example.input_ids[: len(prompt)] == prompt


def test_a_template_that_knows_no_system_prompt_gets_it_before_the_question() -> None:
    tokenizer = tokenizer_of("starter-chat")
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    example = CHAT.encode(ROWS[2], Encoding(tokenizer, ROLES, max_length=200))
    assert tokenizer.decode(example.input_ids).startswith("<user>You are Nora.\n\nWho are you?<|im_end|>")
    learned = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
    assert tokenizer.decode(learned) == "Nora – naïve, 日本語 and 🙂.<|im_end|>"


def test_a_conversation_that_the_template_refuses_is_refused_in_words() -> None:
    from studio.schema.errors import StudioError

    tokenizer = tokenizer_of("starter-chat")
    tokenizer.chat_template = "{{ raise_exception('Conversation roles must alternate') }}"
    with pytest.raises(StudioError, match="roles must alternate") as caught:
        CHAT.encode(ROWS[0], Encoding(tokenizer, ROLES, max_length=200))
    assert caught.value.code == "wrong-model" and "roles-out-of-order" in caught.value.hint


def test_a_text_to_classify_is_its_tokens_between_the_models_own_marks() -> None:
    tokenizer = tokenizer_of("starter-classify")
    roles = {"review": "text", "mood": "label"}
    encoding = Encoding(tokenizer, roles, max_length=8, label_names=("bad", "good"))
    example = CLASSIFICATION.encode({"review": "The lid cracked.", "mood": "bad"}, encoding)
    words = ["[CLS]", "the", "lid", "cracked", ".", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(example.input_ids) == words
    assert (example.labels, example.label, example.truncated) == (0, "bad", False)
    assert CLASSIFICATION.prompt_ids("The lid cracked.", encoding) == example.input_ids
    assert CLASSIFICATION.template(encoding) == "[CLS] {text} [SEP]"
    long = CLASSIFICATION.encode({"review": "very " * 20, "mood": "good"}, encoding)
    assert tokenizer.convert_ids_to_tokens(long.input_ids) == ["[CLS]", *["very"] * 6, "[SEP]"]
    assert (long.labels, long.full_length, long.truncated) == (1, 22, True)
