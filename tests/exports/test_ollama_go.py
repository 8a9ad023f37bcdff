"""Templates for Ollama, rendered by Go's own engine: the same text as the chat template of the model."""

import json
import subprocess
from pathlib import Path

import pytest

from studio.export.ollama_templates import CONVERSATIONS, KNOWN, OllamaTemplate, plain_template

RENDER = """package main

import (
	"encoding/json"
	"os"
	"text/template"
)

type Message struct{ Role, Content string }

type Request struct {
	Template      string
	Conversations [][]*Message
}

func main() {
	var requests []Request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		panic(err)
	}
	texts := [][]string{}
	for _, request := range requests {
		parsed := template.Must(template.New("").Option("missingkey=zero").Parse(request.Template))
		of := []string{}
		for _, messages := range request.Conversations {
			var out = new(writer)
			if err := parsed.Execute(out, map[string]any{"Messages": messages, "Response": ""}); err != nil {
				panic(err)
			}
			of = append(of, string(*out))
		}
		texts = append(texts, of)
	}
	json.NewEncoder(os.Stdout).Encode(texts)
}

type writer []byte

func (w *writer) Write(bytes []byte) (int, error) {
	*w = append(*w, bytes...)
	return len(bytes), nil
}
"""


@pytest.fixture(scope="module")
def rendered(go: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Known template → the texts of all conversations, as Go writes them."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(RENDER)
    requests = [{"Template": known.template, "Conversations": CONVERSATIONS} for known in ALL]
    environment = {
        "PATH": str(go.parent),
        "HOME": str(folder),
        "GOCACHE": str(folder / "cache"),
        "GOTOOLCHAIN": "local",
    }
    done = subprocess.run(
        [go, "run", "main.go"],
        input=json.dumps(requests),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip([known.name for known in ALL], json.loads(done.stdout), strict=True))


ALL = (*KNOWN, plain_template("</s>"))


@pytest.mark.parametrize("known", ALL, ids=[known.name for known in ALL])
def test_go_writes_the_text_with_which_the_models_template_was_compared(
    known: OllamaTemplate, rendered: dict[str, list[str]]
) -> None:
    assert rendered[known.name] == [known.written(each) for each in CONVERSATIONS]
