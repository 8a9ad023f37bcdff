"""A run's archive names no folder of this machine, and is read again."""

import json
import tempfile
import zipfile
from pathlib import Path

import pytest
import yaml

from studio.machine.paths import without_places
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.runs import RunSpec
from studio.schema.settings_check import config_from
from studio.store.run_archive import pack, unpack
from studio.store.run_folder_import import read_spec


def run_folder(folder: Path, model: str, base: str) -> Path:
    """The folder of a run as an older studio has left it, with paths of the machine in its files."""
    config = config_from({"task": "chat", "model": model, "name": "tone"})
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    spec = RunSpec(
        config=config,
        dataset="data-1",
        dataset_version=1,
        data=data,
        splits=SplitSpec(),
        because=(f"Read from {folder}/rows.csv.",),
    )
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    described = {
        "run": {"id": "20200101-aaaaaaaa", "reason": f"No such file: {Path.home()}/.cache/x/model.bin"},
        "model": {"hub_id": "org/base", "title": "Base"},
    }
    (folder / "run.json").write_text(json.dumps(described))
    event = {"kind": "error", "message": f"OSError: '{tempfile.gettempdir()}/studio-x/socket' is gone"}
    (folder / "events.jsonl").write_text(json.dumps({"id": 1, "event": event}) + "\n")
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 8}))
    (folder / "adapter" / "tokenizer_config.json").write_text(json.dumps({"name_or_path": base}))
    (folder / "adapter" / "tokenizer.json").write_text(json.dumps({"vocab": {"/tmp/": 1, "/root/": 2}}))
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("base", [f"{Path.home()}/.cache/finetune-studio/starters/starter-chat", "/data/models/base"])
def test_no_text_of_an_archive_names_a_folder_of_this_machine(tmp_path: Path, base: str) -> None:
    folder = run_folder(tmp_path / "runs" / "20200101-aaaaaaaa", "starter-chat", base)
    pack(folder, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("tokenizer.json")]
        texts = {name: archive.read(name).decode() for name in names}
        assert json.loads(archive.read("adapter/tokenizer.json"))["vocab"] == {"/tmp/": 1, "/root/": 2}
    for name, text in texts.items():
        for place in (str(tmp_path), f"{Path.home()}/", f"{tempfile.gettempdir()}/", base):
            assert place not in text, name
    assert json.loads(texts["adapter/adapter_config.json"]) == {"base_model_name_or_path": "org/base", "r": 8}
    assert "model.bin" in texts["run.json"] and "socket" in texts["events.jsonl"]
    unpack(tmp_path / "run.zip", tmp_path / "again")
    assert read_spec(tmp_path / "again" / "config.yaml").config.model == "starter-chat"


def test_a_base_model_that_is_a_folder_of_the_owner_s_is_found_again(tmp_path: Path) -> None:
    for number, (model, kept) in enumerate(
        [
            (f"{Path.home()}/models/mine", "~/models/mine"),
            ("/data/models/mine", "/data/models/mine"),
        ]
    ):
        folder = run_folder(tmp_path / str(number) / "20200101-aaaaaaaa", model, model)
        pack(folder, tmp_path / f"{number}.zip")
        unpack(tmp_path / f"{number}.zip", tmp_path / f"again-{number}")
        assert read_spec(tmp_path / f"again-{number}" / "config.yaml").config.model == kept
        assert str(Path.home()) not in (tmp_path / f"again-{number}" / "config.yaml").read_text()


def test_paths_in_a_text_are_shortened_to_their_last_part_and_nothing_else_is_changed() -> None:
    for text, short in {
        'File "/opt/a b/lib/x.py", line 3': 'File "x.py", line 3',
        "No such file: '/home/ann/secret/model.safetensors'": "No such file: 'model.safetensors'",
        "/var/lib/studio/home/queue.db is locked": "queue.db is locked",
        r"C:\Users\ann\x.txt": "x.txt",
        "step 9/9  loss 1.2, and/or 3/4 of https://huggingface.co/org/base": None,
        "file:///home/ann/x": "x",
    }.items():
        assert without_places(text) == (short or text)
