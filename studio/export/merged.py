"""Export of the fine-tuned model as one standalone model: merged adapter, or the full model."""

from pathlib import Path

from studio.export import snippets
from studio.export.base import Exporter, ExportJob, Phase
from studio.export.folder import read_json, write_json
from studio.inference.base_and_tuned import DTYPE_BYTES, load_tuned, precision_of
from studio.inference.generation_settings import generation_settings
from studio.inference.load import mergeable
from studio.schema.host import RunRef


class Merged(Exporter):
    """A folder that transformers loads directly."""

    format = "merged"
    title = "Whole model"
    sentence = "Choose this for the Hub, an API or Python. One folder that transformers loads, without an adapter."
    library = "transformers"
    exact = True

    def unavailable_reason(self, run: RunRef) -> str:
        """Full models can be exported so, and adapters that can be merged."""
        adapter = Path(run.folder) / "adapter"
        if adapter.exists() and not mergeable(adapter):
            return "This run trained virtual tokens, which can't be merged into the weights. Export the adapter."
        return ""

    def size(self, run: RunRef) -> int:
        """Return the size of all weights in the export's precision, in bytes."""
        return run.info.parameters * DTYPE_BYTES[precision_of(run)] or run.info.bytes

    def write(self, job: ExportJob, to: Path) -> None:
        """Write the weights that the chat uses."""
        job.enter(Phase.LOADING, "Loading the model")
        pair = job.model_cache.pair(job.run)
        if pair.one_copy:
            job.enter(Phase.LOADING, "Merging the adapter into the weights")
        tuned = load_tuned(job.run) if pair.one_copy else pair.tuned
        job.enter(Phase.WRITING, "Writing the weights")
        tuned.save_pretrained(str(to))
        config = read_json(to / "config.json")
        write_json(to / "config.json", {key: value for key, value in config.items() if key != "_name_or_path"})
        if tuned.can_generate():
            write_json(to / "generation_config.json", generation_settings(tuned, pair.tokenizer))

    def snippet(self, run: RunRef, place: str) -> str:
        """Return code that loads the folder."""
        return snippets.merged(run, place)
