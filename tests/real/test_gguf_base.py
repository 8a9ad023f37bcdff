"""A GGUF file becomes a base model: converted in a process of its own, then trained like a folder."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_runs import add_run, add_sample, log_of, record_of, start_worker

from studio.api import Studio
from studio.models import find_model
from studio.models.downloads.fetching import Fetching
from studio.models.sources.conversions import conversion_folder
from studio.models.sources.gguf import GgufSource
from studio.schema.errors import StudioError
from studio.store import Home
from tests.gguf_files import tiny_gguf


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_CACHE", str(folder / "cache"))
        yield tiny_gguf(folder / "small.gguf")


def fetch(file: Path) -> None:
    source = GgufSource()
    info = source.find(str(file))
    assert info is not None
    source.fetch(info, Fetching(lambda done, total: None))


def test_a_gguf_file_is_converted_trained_and_found_without_the_file(file: Path, home: Home) -> None:
    import torch
    from gguf import GGUFReader, dequantize
    from transformers import AutoModelForCausalLM, AutoTokenizer

    studio = Studio(home.root)
    with pytest.raises(StudioError) as early:
        studio.models.ready(str(file))
    assert f"studio download {file}" in early.value.message
    seen: list[tuple[int, int]] = []
    info = studio.models.download(str(file), lambda done, total: seen.append((done, total)))
    assert info.here and info.path == str(conversion_folder("gguf", file)) and info.licence == "apache-2.0"
    assert "dequantized from Q8_0" in info.origin and seen and all(done <= total for done, total in seen)
    card = (Path(info.path) / "README.md").read_text()
    assert str(file.parent) not in card + (Path(info.path) / "config.json").read_text()
    assert {each.suffix for each in Path(info.path).iterdir()} == {".json", ".safetensors", ".jinja", ".md"}

    model = AutoModelForCausalLM.from_pretrained(info.path, trust_remote_code=False)
    weights = {each.name: dequantize(each.data, each.tensor_type) for each in GGUFReader(file).tensors}
    embedding = torch.from_numpy(weights["token_embd.weight"]).to(torch.bfloat16)
    assert torch.equal(model.get_input_embeddings().weight, embedding) and model.config.rms_norm_eps == 1e-5
    tokenizer = AutoTokenizer.from_pretrained(info.path, trust_remote_code=False)
    ids = tokenizer("a<|im_start|>\n\n12").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["a", "<|im_start|>", "ĊĊ", "1", "2"]

    run = add_run(home, add_sample(home, "support-tone", 12), str(file), epochs=1, max_steps=2, max_length=64)
    assert start_worker(home, run).wait(240) == 0, log_of(home, run)
    assert record_of(home, run).status == "finished"

    assert str(file) in [each.name for each in GgufSource().known()], "it is known, as all that are converted"
    assert json.loads((conversion_folder("gguf", file) / "gguf.json").read_text())["quantization"] == "Q8_0"
    aside = file.rename(file.with_suffix(".aside"))
    assert find_model(str(file)).here, "the converted model needs no file"
    aside.rename(file)


def test_a_changed_file_is_converted_again_and_a_lacking_weight_is_named(file: Path, tmp_path: Path) -> None:
    other = tiny_gguf(tmp_path / "other.gguf", without=["blk.0.ffn_up"])
    with pytest.raises(StudioError) as refused:
        fetch(other)
    assert refused.value.code == "broken-model" and "lacks weights" in refused.value.message
    assert "up_proj" in refused.value.message and not conversion_folder("gguf", other).exists()
    tiny_gguf(other)
    fetch(other)
    assert find_model(str(other)).here
    with other.open("ab") as out:
        out.write(bytes(64))
    assert not find_model(str(other)).here


def test_a_stopped_conversion_leaves_nothing(tmp_path: Path, file: Path) -> None:
    other = tiny_gguf(tmp_path / "stopped.gguf")
    source, stop = GgufSource(), threading.Event()
    info = source.find(str(other))
    assert info is not None
    threading.Timer(0.5, stop.set).start()
    assert source.fetch(info, Fetching(lambda done, total: None, stop.is_set)) == info
    assert not conversion_folder("gguf", other).exists()
    assert not [each for each in conversion_folder("gguf", other).parent.iterdir() if each.name.startswith(".new-")]
