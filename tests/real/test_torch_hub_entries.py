"""Entry points of PyTorch Hub, run for real: torch.hub in a process of its own, and the model that it saves."""

import os
import threading
from pathlib import Path

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError

TINY = """
dependencies = ["torch", "transformers"]

def _model():
    import transformers
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=64
    )
    return transformers.LlamaForCausalLM(config)

def _tokenizer():
    import tokenizers, transformers
    words = {f"w{number}": number for number in range(60)}
    words |= {"<s>": 60, "</s>": 61, "<unk>": 62, "<pad>": 63}
    kind = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    kind.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=kind, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
"""
BOTH = TINY + "\ndef tiny():\n    return _model(), _tokenizer()\n"
TWO = f"""{TINY}
def tiny(size):
    assert size == "small"
    return _model()

def tokenizer(size):
    return _tokenizer()
"""


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return Studio(tmp_path / "home")


def repository(folder: Path, hubconf: str) -> Path:
    folder.mkdir()
    (folder / "hubconf.py").write_text(hubconf)
    return folder


def download(studio: Studio, name: str) -> str:
    studio.models.trust(name, True, studio.models.find(name).fingerprint)
    return str(studio.models.download(name, lambda done, total: None).path)


@pytest.mark.parametrize(("hubconf", "argument"), [(BOTH, ""), (TWO, ":small")])
def test_a_trusted_entry_point_leaves_a_folder_that_is_used_like_any_other(
    studio: Studio, tmp_path: Path, hubconf: str, argument: str
) -> None:
    name = f"torchhub:{repository(tmp_path / 'code', hubconf)}:tiny{argument}"
    with pytest.raises(StudioError, match="not loaded"):
        studio.models.download(name, lambda done, total: None)
    assert not (tmp_path / "cache" / "torchhub").exists() or not list((tmp_path / "cache").rglob("*.safetensors"))
    folder = Path(download(studio, name))
    info = studio.models.ready(name)
    assert info.here and not info.needs_trust and info.architecture == "LlamaForCausalLM" and "chat" in info.tasks
    assert str(tmp_path) not in info.origin and not list(folder.rglob("*.py"))
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    assert model.config.hidden_size == 32
    assert transformers.AutoTokenizer.from_pretrained(folder)("w1 w2")["input_ids"][-2:] == [1, 2]


def test_each_entry_point_that_gives_something_else_is_refused_with_a_reason(studio: Studio, tmp_path: Path) -> None:
    cases = {
        "plain": ("def tiny():\n    import torch\n    return torch.nn.Linear(2, 2)\n", "no model of transformers"),
        "alone": (TINY + "\ndef tiny():\n    return _model()\n", "no tokenizer"),
        "broken": ("def tiny():\n    raise RuntimeError('out of order')\n", "ended with an error.*out of order"),
    }
    for folder, (hubconf, words) in cases.items():
        name = f"torchhub:{repository(tmp_path / folder, hubconf)}:tiny"
        with pytest.raises(StudioError, match=words):
            download(studio, name)
        assert not studio.models.find(name).here


def test_the_code_sees_no_secrets_and_leaves_nothing_but_the_model(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("MY_API_KEY", "planted")
    spying = BOTH.replace(
        "    return _model(), _tokenizer()",
        "    import json, os, pathlib\n"
        f"    pathlib.Path({str(tmp_path / 'seen')!r}).write_text(json.dumps(dict(os.environ)))\n"
        "    model = _model()\n"
        "    old = model.save_pretrained\n"
        "    def save(folder, **more):\n"
        "        old(folder, **more)\n"
        "        (pathlib.Path(folder) / 'planted.py').write_text('import os')\n"
        "        (pathlib.Path(folder) / 'pytorch_model.bin').write_bytes(b'a pickle')\n"
        "        os.symlink('/etc/passwd', pathlib.Path(folder) / 'extra.json')\n"
        "    model.save_pretrained = save\n"
        "    return model, _tokenizer()",
    )
    code = repository(tmp_path / "code", spying)
    os.mkfifo(code / "pipe")
    (code / "link").symlink_to("/etc/passwd")
    folder = Path(download(studio, f"torchhub:{code}:tiny"))
    assert "planted" not in (tmp_path / "seen").read_text()
    assert not {"planted.py", "pytorch_model.bin", "extra.json"} & set(os.listdir(folder))


def test_a_run_of_code_can_be_stopped(studio: Studio, tmp_path: Path) -> None:
    started = tmp_path / "started"
    hubconf = f"def tiny():\n    import time\n    open({str(started)!r}, 'w').close()\n    time.sleep(600)\n"
    name = f"torchhub:{repository(tmp_path / 'code', hubconf)}:tiny"
    studio.models.trust(name, True, studio.models.find(name).fingerprint)
    studio.models.start_download(name)
    waiting = threading.Event()
    for _ in range(600):
        if started.exists():
            break
        waiting.wait(0.2)
    studio.models.cancel_download(name)
    for _ in range(100):
        if studio.models.download_states()[-1].status != "running":
            break
        waiting.wait(0.2)
    assert studio.models.download_states()[-1].status == "cancelled" and not studio.models.find(name).here
