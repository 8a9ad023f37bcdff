"""Export to LiteRT, which was called TensorFlow Lite: .tflite files for phones and small devices.

The converter and the runtime are in an environment of their own, because they are large and replace packages of the
studio.
"""

from pathlib import Path

from studio.export import onnx_snippets
from studio.export.base import ExportJob, Phase
from studio.export.child_process import run_step
from studio.export.gguf import REQUIREMENTS
from studio.export.merged import Merged
from studio.export.onnx import MOST_PARAMETERS, Onnx, converted
from studio.inference.heads import head_of
from studio.machine.tool_environment import ToolEnvironment
from studio.schema.errors import StudioError
from studio.schema.host import RunRef

CONVERTER = ToolEnvironment(
    name="litert",
    title="LiteRT converter",
    sentence="Google's converter and the LiteRT runtime are installed from PyPI into the data folder: 190 MB to "
    "download, 780 MB on disk. Packages: litert-torch 0.10.0 and ai-edge-litert 2.3.0 (Apache license).",
    requirements=REQUIREMENTS / "litert.txt",
    hint="It needs Linux or macOS, and the internet or a mirror of PyPI in pip's settings. Then install again.",
)
MODEL, QUANTIZED = "model.tflite", "model_quantized.tflite"
LENGTHS = (32, 128)
"""Numbers of tokens for which the files have a signature, besides the maximum length of the run."""
CONVERSION = {
    "trace": (Phase.CONVERTING, "Converting the model to LiteRT"),
    "save": (Phase.CONVERTING, "Writing the LiteRT file"),
    "quantize": (Phase.QUANTIZING, "Writing the 8-bit file"),
}
"""What the converter reports → the phase of the export, and what it does."""


class LiteRt(Onnx):
    """A folder with the .tflite files and the tokenizer."""

    format = "tflite"
    title = "TensorFlow Lite (LiteRT)"
    sentence = "Choose this for an app on a phone or a small device. A 32-bit and a smaller 8-bit file (.tflite)."
    library = "litert"
    extra_files = frozenset((".tflite",))
    files = (MODEL, QUANTIZED)
    environments = (CONVERTER,)

    def unavailable_reason(self, run: RunRef) -> str:
        """Encoders can be converted."""
        if run.info.kind != "encoder" or not head_of(run.info, run.spec.data).single_pass:
            return "Only encoders that predict labels, scores or places in a text can be exported to this format."
        if run.info.parameters > MOST_PARAMETERS:
            return "This model is larger than one .tflite file can be (2 GB). Export the whole model."
        return Merged().unavailable_reason(run)

    def missing(self) -> str:
        """Return "": the studio installs what the format needs."""
        return ""

    def write(self, job: ExportJob, to: Path) -> None:
        """Convert the weights that the chat uses, in the environment of the converter.

        Raises:
            StudioError: `format-unavailable` with the layer that can't be converted.
        """
        python = self.python(job)
        with converted(job, to) as task:
            limit = job.run.spec.config.max_length
            longest = min(limit, job.run.info.context or limit)
            task |= {
                "lengths": [*(length for length in LENGTHS if length < longest), longest],
                "to": str(to / MODEL),
                "quantized": str(to / QUANTIZED),
            }
            failure = "This model could not be converted to LiteRT."
            refused = run_step(
                "litert_convert.py:convert",
                task,
                failure,
                python,
                progress=lambda name: job.enter(*CONVERSION[name]),
            )
            if refused:
                raise _refused(**refused)

    def python(self, job: ExportJob) -> Path:
        """Return the Python of the environment with the converter and LiteRT."""
        assert job.tools is not None, "the model host passes the folder of the tools"
        return CONVERTER.require(job.tools)

    def snippet(self, run: RunRef, place: str) -> str:
        """Return Python code for the LiteRT interpreter."""
        return onnx_snippets.litert(run, place, MODEL)


def _refused(layer: str, type: str, cause: str) -> StudioError:
    """The error for a model that can't be converted."""
    where = f"the layer {layer} ({type})" if layer else f"the model ({type})"
    return StudioError(
        "format-unavailable",
        f"LiteRT's converter can't convert {where}.",
        given=f"the converter says: {cause}",
        hint="Export ONNX or the whole model instead.",
    )
