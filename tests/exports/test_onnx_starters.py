"""Both starters as ONNX and OpenVINO. `starter-chat` takes long, because a graph of 30 layers is traced."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import LABELS, chat_run, label_run, starter

from studio.export import ExportJob, export_named
from studio.inference.model_cache import ModelCache
from studio.schema.host import CardFacts

FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)


def silent(*_: object) -> None: ...


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_starter_chat_replies_as_in_the_studio_and_the_code_of_its_card_runs(form: str, tmp_path: Path) -> None:
    run = chat_run(starter("starter-chat"), tmp_path / "run")
    done = export_named(form).export(ExportJob(run, FACTS, ModelCache(), zip=False), tmp_path / "out", silent)
    _, plain, *_ = done.comparison
    begun = int(plain[3].split()[0])
    assert begun >= 10 and plain[3].endswith("of 20"), done.comparison
    code = done.how_to_use.replace(repr("out"), repr(done.path))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert said.returncode == 0 and len(said.stdout.split()) > 3, said.stderr


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_starter_classify_gives_the_labels_of_the_studio_and_the_code_of_its_card_runs(
    form: str, tmp_path: Path
) -> None:
    run = label_run(starter("starter-classify"), tmp_path / "run")
    done = export_named(form).export(ExportJob(run, FACTS, ModelCache(), zip=False), tmp_path / "out", silent)
    assert all(row[3] == "20 of 20" for row in done.comparison[1:]), done.comparison
    code = done.how_to_use.replace(repr("out"), repr(done.path))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert said.returncode == 0 and all(label in said.stdout for label in LABELS), said.stderr
