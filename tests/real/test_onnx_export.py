"""ONNX, browser and OpenVINO exports with the libraries that load them: ONNX Runtime, Chromium and OpenVINO."""

import gzip
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from made_runs import LABELS, TEXTS, chat_run, label_run, starter, tiny_llama
from playwright.sync_api import sync_playwright

from studio.export import ExportJob, export_named
from studio.export.agreement_check import NEAR
from studio.export.browser import PAGE
from studio.export.snippets import PROMPT
from studio.inference.classify import probabilities
from studio.inference.model_cache import ModelCache
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ExportResult
from tests.browser.served import FLAGS, chromium

pytestmark = pytest.mark.timeout(1200)  # graphs are traced
FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)
STRANGER = """
import json, sys
import numpy as np, onnxruntime
from tokenizers import Tokenizer
folder, texts = json.loads(sys.argv[1])
tokenizer, answers = Tokenizer.from_file(folder + "/tokenizer.json"), {}
for name in ("model", "model_quantized"):
    session = onnxruntime.InferenceSession(f"{folder}/onnx/{name}.onnx")
    answers[name] = []
    for text in texts:
        read = tokenizer.encode(text)
        feeds = {"input_ids": read.ids, "attention_mask": read.attention_mask, "token_type_ids": read.type_ids}
        feeds = {each.name: np.array([feeds[each.name]], np.int64) for each in session.get_inputs()}
        powers = np.exp(session.run(["logits"], feeds)[0][0])
        answers[name].append((powers / powers.sum()).tolist())
assert not {"torch", "transformers", "studio"} & set(sys.modules)
print(json.dumps(answers))
"""


OWN_PAGE = """
async ([dtype, texts]) => {
  const { env, AutoTokenizer, AutoModelForSequenceClassification } = transformers;
  Object.assign(env, { localModelPath: "/", allowLocalModels: true, allowRemoteModels: false, useWasmCache: false });
  const wasmBinary = await (await fetch("/runtime.wasm")).arrayBuffer();
  Object.assign(env.backends.onnx.wasm, { wasmBinary, wasmPaths: undefined, numThreads: 1, proxy: false });
  const tokenizer = await AutoTokenizer.from_pretrained("classifier");
  const model = await AutoModelForSequenceClassification.from_pretrained("classifier", { dtype, device: "wasm" });
  const answers = [];
  for (const text of texts) {
    const inputs = tokenizer(text, { truncation: true, max_length: 512 });
    const powers = Array.from((await model(inputs)).logits.data).map(Math.exp);
    answers.push(powers.map((power) => power / powers.reduce((a, b) => a + b)));
  }
  return answers;
}
"""


class QuietFiles(SimpleHTTPRequestHandler):
    """A web server that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def silent(*_: object) -> None: ...


@dataclass
class Exported:
    """A classifier's browser export, which has the files of the ONNX export too, and the answers of the chat."""

    run: RunRef
    result: ExportResult
    texts: list[str]
    shares: list[list[float]]
    phases: list[tuple[int, str]]

    @property
    def folder(self) -> Path:
        return Path(self.result.path)

    def far(self, answers: list[list[float]]) -> float:
        """The largest difference from the chat's probabilities."""
        pairs = zip(self.shares, answers, strict=True)
        return max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("browser")
    run, model_cache = label_run(starter("starter-classify"), folder / "run"), ModelCache()
    phases: list[tuple[int, str]] = []
    result = export_named("browser").export(
        ExportJob(run, FACTS, model_cache), folder / "page", lambda done, _, title: phases.append((done, title))
    )
    pair = model_cache.pair(run)
    texts = [text for _, text in TEXTS] + [
        "Is it open?",
        "Thanks!",
        "It broke.",
        "ok",
        "Ümlaut 😀",
        "a " * 60,
        "1",
        "?",
    ]
    ids = [pair.task.prompt_ids(text, pair.encoding()) for text in texts]
    return Exported(run, result, texts, probabilities(pair, ids).tolist(), phases)


def test_both_files_get_the_chats_labels_and_are_compared_in_size_and_speed(exported: Exported) -> None:
    assert "20 of 20 texts get the same labels as in the Chat tab" in exported.result.tested
    head, plain, small = exported.result.comparison
    assert head == ("File", "Size", "Speed", "Same labels", "Largest difference")
    assert plain[0] == "onnx/model.onnx" and plain[3] == small[3] == "20 of 20"
    sizes = [(exported.folder / row[0]).stat().st_size for row in (plain, small)]
    assert 3.5 < sizes[0] / sizes[1] < 4.1
    card = (exported.folder / "README.md").read_text()
    assert " | ".join(small) in card and "library_name: transformers.js" in card


def test_each_phase_is_reported_when_it_begins(exported: Exported) -> None:
    numbers = [number for number, _ in exported.phases]
    assert numbers == sorted(numbers)
    titles = [title for _, title in exported.phases]
    converting = ["Converting the model to ONNX", "Writing the ONNX file", "Writing the 8-bit file"]
    begin = titles.index(converting[0])
    assert titles[begin : begin + 3] == converting and titles[-1] == "Done"


def test_onnx_runtime_alone_gives_the_chats_probabilities_for_20_other_texts(exported: Exported) -> None:
    asked = json.dumps([str(exported.folder), exported.texts])
    done = subprocess.run([sys.executable, "-c", STRANGER, asked], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(exported.texts) == 20
    assert exported.far(answers["model"]) < 1e-4 and exported.far(answers["model_quantized"]) < NEAR


def javascript(exported: Exported) -> str:
    """The code for JavaScript, with the Transformers.js of the page, which has the files."""
    code = exported.result.usages[1].code
    names = "AutoModelForSequenceClassification, AutoTokenizer, env"
    code = code.replace(f'import {{ {names} }} from "@huggingface/transformers"', f"const {{ {names} }} = transformers")
    return code.replace("console.log(", "return (")


def test_the_page_gives_the_chats_probabilities_in_chromium_and_loads_nothing(exported: Exported) -> None:
    requests: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.goto((exported.folder / "index.html").as_uri())
        page.wait_for_selector("body[data-same], body[data-failed]", timeout=120_000)
        assert page.locator("body").get_attribute("data-same") == "20/20", page.inner_text("#state")
        answers = [page.evaluate("text => classify(text)", text) for text in exported.texts]
        told = page.evaluate(f"async () => {{ {javascript(exported)} }}")
        page.fill("#text", exported.texts[0])
        page.click("#go")
        page.wait_for_selector("#answer li")
        shown = page.locator("#answer li").all_inner_texts()
        browser.close()
    assert exported.far(answers) < NEAR
    pair = ModelCache().pair(exported.run)
    expected = probabilities(pair, [pair.task.prompt_ids(PROMPT, pair.encoding())])[0]
    assert [label for label, _ in told] == list(LABELS)
    assert max(abs(share - ours) for (_, share), ours in zip(told, expected, strict=True)) < NEAR
    best = max(zip(exported.shares[0], LABELS, strict=True))[1]
    assert shown[0].startswith(best) and len(shown) == len(LABELS)
    assert [url.partition("?")[0] for url in requests] == [(exported.folder / "index.html").as_uri()]


@pytest.mark.parametrize("dtype", ["fp32", "q8"])
def test_transformers_js_loads_the_folder_from_a_web_server_and_gives_the_chats_probabilities(
    dtype: str, exported: Exported, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>A page of another person</title>")
    (tmp_path / "runtime.wasm").write_bytes(gzip.decompress((PAGE / "runtime.wasm.gz").read_bytes()))
    (tmp_path / "classifier").symlink_to(exported.folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.add_script_tag(path=PAGE / "runtime.js")
            answers = page.evaluate(OWN_PAGE, [dtype, exported.texts])
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert exported.far(answers) < (1e-3 if dtype == "fp32" else NEAR)


def test_nothing_of_this_machine_and_no_pickle_is_in_the_folder_or_its_zip(exported: Exported) -> None:
    private = (str(Path.home()), exported.run.folder, str(exported.run.info.path), str(exported.folder.parent))
    files = [file for file in exported.folder.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".onnx", ".html", ".json", ".md", ".txt"}
    for file in files:
        content = file.read_bytes()
        assert not any(path.encode() in content for path in private), file.name
    with zipfile.ZipFile(str(exported.result.zip_path)) as archive:
        assert archive.testzip() is None and "page/onnx/model_quantized.onnx" in archive.namelist()
    assert "Apache License" in (licenses := (exported.folder / "licenses.txt").read_text()) and "Microsoft" in licenses


@pytest.mark.parametrize(("form", "file"), [("openvino", "openvino_model.xml")])
def test_a_small_generator_gives_the_chats_replies_and_its_code_runs(form: str, file: str, tmp_path: Path) -> None:
    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", precision="float32")
    done = export_named(form).export(ExportJob(run, FACTS, ModelCache(), zip=False), tmp_path / "out", silent)
    assert "20 of 20 replies are the same as in the Chat tab" in done.tested
    assert done.comparison[1][0] == file and done.comparison[1][3] == "20 of 20"
    code = done.how_to_use.replace(repr("out"), repr(done.path))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert said.returncode == 0 and said.stdout.strip(), said.stderr
