"""GGUF files as base models, before their conversion: what they declare, and which are refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.models import find_model
from studio.models.conversion.gguf_header import ARCHITECTURES, read_gguf_header
from studio.schema.errors import StudioError
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.gguf_files import gguf, llama_pairs, tensor, tiny_gguf


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_gguf_file_is_described_by_its_header_before_it_is_converted(tmp_path: Path) -> None:
    file = tiny_gguf(tmp_path / "small.gguf")
    info = find_model(str(file))
    assert (info.source, info.name, info.title, info.kind) == ("gguf", str(file), "small", "causal")
    assert (info.layers, info.hidden, info.intermediate, info.context, info.vocabulary) == (1, 32, 64, 128, 261)
    assert info.parameters == 261 * 32 + 3 * 32 + 4 * 32 * 32 + 3 * 32 * 64 and info.bytes == 2 * info.parameters
    assert info.licence == "apache-2.0" and info.has_chat_template and not info.here and info.path is None
    assert "(Q8_0)" in info.note and "stays lost" in info.note and str(tmp_path) not in info.origin


def test_an_architecture_that_can_not_be_converted_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as refused:
        find_model(str(tiny_gguf(tmp_path / "bird.gguf", architecture="rwkv7")))
    assert refused.value.code == "wrong-model" and "rwkv7" in refused.value.message and "llama" in refused.value.message


def test_one_part_of_several_files_is_refused_with_the_command_that_joins_them(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as refused:
        find_model(str(tiny_gguf(tmp_path / "part.gguf", split=3)))
    assert "llama-gguf-split --merge" in refused.value.message


def test_each_architecture_is_one_that_transformers_converts_to_this_class() -> None:
    import transformers
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    assert set(ARCHITECTURES) <= set(GGUF_SUPPORTED_ARCHITECTURES)
    assert all(hasattr(transformers, name) for name in ARCHITECTURES.values())


@pytest.mark.parametrize("name", ["no-such.gguf", "folder.gguf", "pipe.gguf", "empty.gguf", "\0.gguf"])
def test_what_is_no_gguf_file_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    if name != "\0.gguf":
        (tmp_path / "folder.gguf").mkdir()
        os.mkfifo(tmp_path / "pipe.gguf")
        (tmp_path / "empty.gguf").touch()
    with pytest.raises(StudioError) as refused:
        find_model(str(tmp_path / name))
    assert refused.value.code in ("no-such-model", "broken-model")


def test_a_header_is_read_again_only_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "some.gguf"
    file.write_bytes(gguf(llama_pairs(), [tensor("token_embd.weight", [8, 16])]))
    assert find_model(str(file)).parameters == 128
    file.write_bytes(gguf(llama_pairs(), [tensor("token_embd.weight", [8, 32])]))
    assert find_model(str(file)).parameters == 256


def test_the_most_common_number_format_names_the_quantization(tmp_path: Path) -> None:
    file = tmp_path / "some.gguf"
    tensors = [tensor("norm", [8]), tensor("token_embd.weight", [256, 2], kind=12, offset=32)]
    file.write_bytes(gguf(llama_pairs(), tensors))
    assert read_gguf_header(file).quantization == "Q4_K"


def test_the_page_offers_to_convert_the_file_and_says_what_that_costs(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    file = tiny_gguf(tmp_path / "small.gguf")
    visit().choose(task="chat")
    model_tab.use_folder(visit(value=str(file)))
    drawn = "".join(map(str, model_tab._models(visit(), model_tab.Components("body", "actions")).values()))  # type: ignore[arg-type]
    assert "Convert file" in drawn and "GGUF file" in drawn and "what quantization lost stays lost" in drawn
    assert "Download" not in drawn.partition('id="about"')[2].partition("Downloads on the Hub")[0].replace(
        "Size to download", ""
    )


def test_the_command_line_shows_a_gguf_file_and_how_it_is_converted(
    call: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    file = tiny_gguf(tmp_path / "small.gguf")
    status, (shown,), _ = call("models", "--add", str(file))
    assert status == 0 and shown["source"] == "gguf" and not shown["here"] and "chat" in shown["tasks"]
    status, _, errors = call("train", "--model", str(file), "--task", "chat", "--data", "missing.csv")
    assert status != 0 and "Traceback" not in errors
