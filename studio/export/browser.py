"""Export for the browser: a folder for Transformers.js, and one HTML page that holds the whole classifier.

`browser_page/` has the page, and its runtime (Transformers.js and ONNX Runtime's WebAssembly, 4.2 MB), which
`scripts/browser_runtime.sh` makes.
"""

import base64
import gzip
import html
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studio.export import onnx_agreement, onnx_snippets, snippets
from studio.export.agreement_check import NEAR, OWN_PROMPTS, ReferenceAnswers, largest_difference
from studio.export.base import ExportJob, TestResult
from studio.export.onnx import MODEL, QUANTIZED, Onnx, reads_two_texts
from studio.inference.heads import head_of
from studio.inference.load import load_tokenizer
from studio.schema.host import RunRef
from studio.schema.report import Usage

PAGE = Path(__file__).with_name("browser_page")
MOST_PARAMETERS = 150_000_000
"""Of a model whose page is still small enough to open: about 200 MB with 8-bit weights."""
DTYPES = {MODEL: "fp32", QUANTIZED: "q8"}
"""File → its name in Transformers.js."""
INDEX = "index.html"


class Browser(Onnx):
    """ONNX files in the layout of Transformers.js, and a page that runs them."""

    format = "browser"
    title = "Browser page"
    sentence = "Choose this for a web page. One HTML file that runs the classifier, and a folder for Transformers.js."
    library = "transformers.js"
    extra_files = frozenset((".onnx", ".html"))

    def unavailable_reason(self, run: RunRef) -> str:
        """Encoders that classify can run on a page."""
        if head_of(run.info, run.spec.data).name != "labels" or run.info.kind != "encoder":
            return "Only classifiers with an encoder can run on a page. Export ONNX, which Transformers.js also reads."
        if run.info.parameters > MOST_PARAMETERS:
            return "This model is too large for a page (over 150 million parameters). Export ONNX."
        return super().unavailable_reason(run)

    def size(self, run: RunRef) -> int:
        """Return the size of both files, and of the page with the 32-bit one, which is used if the 8-bit one differs.

        Packed as text, weights have a quarter more bytes.
        """
        return super().size(run) + 5 * run.info.parameters + 6 * 2**20

    def write(self, job: ExportJob, to: Path) -> None:
        """Convert the weights. Transformers.js reads tokenizers from tokenizer.json alone."""
        super().write(job, to)
        load_tokenizer(job.run.info, job.run.trusted).backend_tokenizer.save(str(to / "tokenizer.json"))

    def compare(self, job: ExportJob, stage: Path, reference: ReferenceAnswers) -> TestResult:
        """Test the files with ONNX Runtime, then write the page. It repeats the test in the browser that opens it."""
        result = super().compare(job, stage, reference)
        file = MODEL
        if (stage / QUANTIZED).exists():
            answers = onnx_agreement.answers_of(stage, (QUANTIZED,), job.run, reference)[QUANTIZED]["answers"]
            file = QUANTIZED if largest_difference(reference, answers) <= NEAR else MODEL
        (stage / INDEX).write_text(page(job, stage, file, reference), encoding="utf-8")
        (stage / "licenses.txt").write_text(licenses(), encoding="utf-8")
        uses = "The page uses the 8-bit file, and repeats the test when it is opened."
        if file == MODEL:
            uses = "The page uses the 32-bit file, and repeats the test when it is opened."
        return TestResult(f"{result.tested} {uses}", result.comparison, {"dtype": DTYPES[file]})

    def snippet(self, run: RunRef, place: str, dtype: str = DTYPES[QUANTIZED]) -> str:
        """Return code for Node and for pages of your own. `dtype` names the file in Transformers.js."""
        return onnx_snippets.javascript(run, place, dtype, reads_two_texts(run))

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]:
        """Return how to open the page, and code for Transformers.js."""
        how = f"Open {place}/{INDEX} in a browser, or put it on any web server. No text leaves the page."
        dtype = options.get("dtype", DTYPES[QUANTIZED])
        code = Usage(title="JavaScript", language="js", code=self.snippet(run, place, dtype).strip())
        return (Usage(title="The page", language="text", code=how), code)


def page(job: ExportJob, stage: Path, file: str, reference: ReferenceAnswers) -> str:
    """Return the page: the files of the model, the runtime, and the answers that its test expects.

    The answers are those to the general prompts. The run's own test prompts are not on the page.
    """
    head, own = head_of(job.run.info, job.run.spec.data), len(job.run.spec.config.test_prompts[:OWN_PROMPTS])
    checks = zip(reference.prompts[own:], reference.answers[own:], strict=True)
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", file)
    settings = {
        "labels": list(head.labels),
        "problem": head.problem,
        "pair": reads_two_texts(job.run),
        "longest": job.run.spec.config.max_length,
        "dtype": DTYPES[file],
        "near": NEAR,
        "files": {Path(name).name: f"file-{place}" for place, name in enumerate(names)},
        "checks": [
            {"texts": each if isinstance(each, list) else [each], "shares": [round(share, 6) for share in shares]}
            for each, shares in checks
        ],
    }
    blocks = [
        _block(f"file-{place}", gzip.compress((stage / name).read_bytes(), 6)) for place, name in enumerate(names)
    ]
    two = reads_two_texts(job.run)
    second = (
        f'<label for="second">Second text</label>\n<textarea id="second" required>{snippets.PAIR[1]}</textarea>'
        if two
        else ""
    )
    values = {
        "title": html.escape(job.facts.name or "Classifier"),
        "first": "First text" if two else "Text",
        "example": snippets.PAIR[0] if two else snippets.PROMPT,
        "second": second,
        "settings": _json(settings),
        "files": "\n".join([*blocks, _block("runtime-wasm", (PAGE / "runtime.wasm.gz").read_bytes())]),
        "runtime": (PAGE / "runtime.js").read_text(encoding="utf-8"),
        "script": (PAGE / "page.js").read_text(encoding="utf-8"),
    }
    start, *parts = (PAGE / "page.html").read_text(encoding="utf-8").split("{{")
    filled = [start]
    for part in parts:
        name, _, rest = part.partition("}}")
        filled += [values[name], rest]
    return "".join(filled)


def licenses() -> str:
    """Return the licenses of the libraries on the page. Those of ONNX Runtime come with its Python package."""
    spec = find_spec("onnxruntime")
    assert spec is not None and spec.origin
    texts = [(PAGE / "LICENSES.txt").read_text(encoding="utf-8")]
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        texts.append(f"ONNX Runtime: {name}\n" + Path(spec.origin).with_name(name).read_text(encoding="utf-8"))
    return "\n".join(texts)


def _block(name: str, packed: bytes) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(packed).decode()}</script>'


def _json(value: Any) -> str:
    """Return JSON that can't end the element that it is in."""
    return json.dumps(value).replace("<", "\\u003c")
