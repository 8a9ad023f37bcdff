"""Every family of models by every export: verified by the program that loads it, or refused with a message.

Each family is a tiny model that the real worker trains for a few steps. When all families have run, the table of
docs/reference/exports.md is written.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TOOLS
from task_runs import tiny_model, train_rows
from test_matrix import DATA

from studio.api import Studio
from studio.export import EXPORTS
from studio.schema.errors import StudioError

FAMILIES = {
    "llama": ("Llama", "chat"),
    "qwen": ("Qwen", "chat"),
    "gpt2": ("GPT-2", "chat"),
    "bert": ("BERT", "classification"),
    "roberta": ("RoBERTa", "classification"),
    "t5": ("T5", "summarization"),
    "bart": ("BART", "summarization"),
}
"""Shape of the tiny model → name of the family, and the task that it is trained for."""
OPTIONS = {"gguf": {"precision": "f16"}, "ollama": {"precision": "f16"}}
"""Format → options for models as small as these, which fewer bits would spoil."""
CHATS = [{"question": row["prompt"], "answer": row["chosen"]} for row in DATA["chat"][0]]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "exports.md"
RESULTS = TOOLS.with_name("export-matrix")
HEAD = """<!-- Made by `make test-exports`: run it again after a change. -->

# Exports by model

Each family of models by each export format. `make test-exports` trains a tiny random model of each family for a few
steps, exports it in each format, and has the program of the format load it in a new process. "Verified" means that at
least 20 replies, or the probabilities for 20 texts, agree with those of the studio, or that the repeated run has the
same losses. A number leads to the message with which a format is refused.

The tiny models have the tokenizers of the starter models. Qwen's tokenizer class splits text in another way, which
llama.cpp's converter does not know with that vocabulary. Real Qwen models, with their own one, are not tested here.

GGUF and Ollama files are tested with llama.cpp, and Ollama's templates with Go's template engine. Ollama, LM Studio
and Jan themselves are not run.

Tests of their own export both starter models in each format that takes them, and use the result in its program.

"""


@pytest.fixture(scope="module", autouse=True)
def page() -> Iterator[None]:
    """The table, when all families have run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for file in RESULTS.glob("*.json"):
        file.unlink()
    yield
    found = {shape: RESULTS / f"{shape}.json" for shape in FAMILIES}
    if all(file.exists() for file in found.values()):
        PAGE.write_text(table({shape: json.loads(file.read_text()) for shape, file in found.items()}), encoding="utf-8")


def table(results: dict[str, dict[str, str]]) -> str:
    """The page: a row for each family and task, a column for each format, and the messages."""
    formats = list(EXPORTS)
    reasons: list[str] = []
    lines = [f"| | task | {' | '.join(f'`{name}`' for name in formats)} |", "|---" * (2 + len(formats)) + "|"]
    for shape, cells in results.items():
        family, task = FAMILIES[shape]
        row = []
        for name in formats:
            if cells[name] and cells[name] not in reasons:
                reasons.append(cells[name])
            row.append(f"no ({reasons.index(cells[name]) + 1})" if cells[name] else "verified")
        lines.append(f"| {family} | `{task}` | {' | '.join(row)} |")
    return HEAD + "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))]) + "\n"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", FAMILIES)
def test_each_export_of_a_family_is_verified_or_refused_with_a_message(shape: str, tools: Path, tmp_path: Path) -> None:
    task = FAMILIES[shape][1]
    rows = CHATS if task == "chat" else DATA[task][0]
    info = tiny_model(shape, tmp_path / "model")
    run = train_rows(tmp_path, rows, info, task, method="lora", max_steps=12)
    (tmp_path / "home" / "tools").symlink_to(tools)
    cells = {}
    with Studio(tmp_path / "home") as studio:
        for name in EXPORTS:
            try:
                done = studio.exports.create(run.record.id, name, tmp_path / name, options=OPTIONS.get(name))
                assert done.tested
                cells[name] = ""
            except StudioError as error:
                assert error.code == "format-unavailable", error.message
                assert error.hint or "." in error.what
                cells[name] = " ".join(filter(None, (error.what, error.hint)))
    (RESULTS / f"{shape}.json").write_text(json.dumps(cells, indent=1))
