"""The tuned model as one plain model: the adapter added into the base's weights, or the model of a full run."""

from pathlib import Path

from studio.export import snippets
from studio.export.base import Exporter, ExportJob
from studio.export.folder import read_json, write_json
from studio.inference.base_and_tuned import WIDTH, load_tuned, precision_of
from studio.inference.generate import end_tokens
from studio.inference.load import mergeable
from studio.schema.host import RunRef


class Merged(Exporter):
    """A folder that transformers loads by itself."""

    format = "merged"
    title = "Merged model"
    sentence = "One folder, for transformers and whatever reads its models."
    library = "transformers"

    def unavailable_reason(self, run: RunRef) -> str:
        """Full runs can be written so, and adapters that can be added into the weights."""
        adapter = Path(run.folder) / "adapter"
        if adapter.exists() and not mergeable(adapter):
            return (
                "What this run learned stands before the text, not in the weights, so it can't be merged into them. "
                "Take the adapter."
            )
        return ""

    def size(self, run: RunRef) -> int:
        """Every weight in the precision in which it is saved."""
        return run.info.parameters * WIDTH[precision_of(run)] or run.info.bytes

    def write(self, job: ExportJob, to: Path) -> None:
        """The very weights with which the chat answers."""
        pair = job.shelf.pair(job.run)
        tuned = load_tuned(job.run) if pair.one_copy else pair.tuned
        if tuned.can_generate():
            # whoever loads it stops where the chat stops
            tuned.generation_config.eos_token_id = sorted(end_tokens(tuned, pair.tokenizer))
        tuned.save_pretrained(str(to))
        for name in ("config.json", "generation_config.json"):
            if values := read_json(to / name):
                write_json(to / name, {key: value for key, value in values.items() if key != "_name_or_path"})

    def snippet(self, run: RunRef, place: str) -> str:
        """One folder and nothing else."""
        return snippets.merged(run, place)
