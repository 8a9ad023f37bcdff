"""Chat templates that come with a model run in a process with limits of time, memory and output."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.inference import templates
from studio.inference.load import load_tokenizer, training_template
from studio.models import find_model
from studio.models.starters.install import fetch_starter
from studio.schema.errors import StudioError
from studio.tasks import rendering

TURNS = [{"role": "user", "content": "Where is my parcel?"}, {"role": "assistant", "content": "On its way."}]
USUAL = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}{# of a stranger #}"
)
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ENDLESS = {
    "two nested loops": LOOPS,
    "a text larger than the memory": "{{ 'x' * 10**10 }}",
    "a number with a billion digits": "{{ '%999999999d' % 1 }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a text that doubles": "{% set ns = namespace(x='ab') %}{% for a in range(99999) %}{% set ns.x = ns.x + ns.x %}"
    "{% endfor %}",
    "a text of ten million characters": "{% for a in range(9999) %}{{ 'x' * 1000 }}{% endfor %}",
    "parentheses without end": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(templates.VARIABLE, "")
    monkeypatch.setattr(templates, "refused", templates.Refused())
    templates.remember_in(tmp_path)
    yield tmp_path
    templates._renderer.close()


@pytest.fixture
def tokenizer() -> Any:
    fetch_starter("starter-chat")
    return load_tokenizer(find_model("starter-chat"))


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.slow
def test_a_template_that_goes_over_a_limit_is_refused_and_at_once_the_next_time(
    home: Path, tokenizer: Any, template: str
) -> None:
    tokenizer.chat_template = template
    began = time.process_time()
    with pytest.raises(StudioError) as first:
        rendering.prompt_ids(tokenizer, TURNS[:1])
    assert time.process_time() - began < 3, "this process did the work itself"
    assert first.value.code == "unsafe-model" and "stopped" in first.value.what and first.value.hint
    templates._renderer.close()
    with pytest.raises(StudioError) as second:
        rendering.render(tokenizer, TURNS)
    assert second.value.message == first.value.message
    assert templates._renderer._process is None, "it was rendered again"


@pytest.mark.slow
def test_a_loop_that_begins_for_certain_words_only_is_refused(home: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = "{% if 'parcel' in messages[0]['content'] %}" + LOOPS + "{% endif %}" + USUAL
    assert rendering.render(tokenizer, [{"role": "user", "content": "Hello"}]).startswith("<|im_start|>user")
    with pytest.raises(StudioError) as refused:
        rendering.render(tokenizer, TURNS)
    assert refused.value.code == "unsafe-model" and "3 seconds" in refused.value.what


@pytest.mark.slow
def test_another_process_of_the_home_refuses_it_at_once(home: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = LOOPS
    with pytest.raises(StudioError):
        rendering.render(tokenizer, TURNS)
    code = (
        "import sys; from studio.inference import templates\n"
        "try: templates.render(conversations=[[]], chat_template=sys.argv[1])\n"
        "except Exception as error: print(error.code, templates._renderer._process)"
    )
    done = subprocess.run([sys.executable, "-c", code, LOOPS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["unsafe-model", "None"]
    assert json.loads((home / templates.REFUSED_FILE).read_text())


@pytest.mark.slow
def test_trl_looks_at_a_template_within_the_same_limits(home: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = LOOPS
    with pytest.raises(StudioError) as refused:
        training_template(tokenizer)
    assert refused.value.code == "unsafe-model"


@pytest.mark.parametrize("asks", [False, True])
def test_a_usual_template_gives_the_same_text_as_in_this_process(
    home: Path, tokenizer: Any, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.chat_template = USUAL
    ids, learned = rendering.encode_conversation(tokenizer, TURNS, None)
    apart = tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=asks)
    assert templates._renderer._process is not None
    monkeypatch.setattr(templates, "_known", lambda: {templates._hash(USUAL)})
    assert apart == tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=asks)
    assert (ids, learned) == rendering.encode_conversation(tokenizer, TURNS, None)


def test_marks_of_replies_and_errors_of_a_template_come_back_as_they_are(home: Path, tokenizer: Any) -> None:
    marked = "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %} {% endfor %}{# other #}"
    tokenizer.chat_template = marked
    told = {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True}
    assert 1 in tokenizer.apply_chat_template(TURNS, **told)["assistant_masks"]
    tokenizer.chat_template = "{{ raise_exception('Turns must alternate.') }}"
    with pytest.raises(StudioError) as refused:
        rendering.render(tokenizer, TURNS)
    assert refused.value.code == "wrong-model" and refused.value.given == "Turns must alternate."
    tokenizer.chat_template = "{{ 'a' + 1 }}"
    with pytest.raises(TypeError):
        rendering.render(tokenizer, TURNS)


def test_templates_of_the_starters_and_of_trl_need_no_process(home: Path, tokenizer: Any) -> None:
    from trl.chat_template_utils import qwen3_training_chat_template

    rendering.prompt_ids(tokenizer, TURNS[:1])
    rendering.render(tokenizer, TURNS, qwen3_training_chat_template)
    rendering.render(tokenizer, TURNS, rendering.PLAIN_TEMPLATE)
    assert templates._renderer._process is None


@pytest.mark.slow
def test_a_rendering_process_that_was_killed_is_started_again(home: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = USUAL
    text = rendering.render(tokenizer, TURNS)
    process = templates._renderer._process
    assert process is not None
    os.kill(process.pid, 9)
    process.wait()
    assert rendering.render(tokenizer, TURNS) == text
