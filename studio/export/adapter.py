"""Export of the adapter alone: a small file that needs the base model."""

import shutil
from pathlib import Path

from studio.export import snippets
from studio.export.base import Exporter, ExportJob, Phase
from studio.export.folder import read_json, write_json
from studio.inference.base_and_tuned import result_folder
from studio.inference.generation_settings import generation_settings
from studio.inference.heads import head_of
from studio.inference.load import ADAPTER_WEIGHTS
from studio.schema.host import RunRef


class Adapter(Exporter):
    """A PEFT adapter that refers to its base model by Hub id."""

    format = "adapter"
    title = "Adapter"
    sentence = "Choose this to keep many variants of one base model. The smallest file, but it needs the base model."
    library = "peft"
    needs_base = True

    def unavailable_reason(self, run: RunRef) -> str:
        """Runs of full fine-tuning have no adapter."""
        if (Path(run.folder) / "model").exists() and not (Path(run.folder) / "adapter").exists():
            return "This run trained the model's own weights, so there is no adapter. Export the whole model."
        return ""

    def size(self, run: RunRef) -> int:
        """Return the size of the adapter and the tokenizer in bytes."""
        weights = Path(run.folder) / "adapter" / ADAPTER_WEIGHTS
        tokenizer = Path(run.info.path or run.folder) / "tokenizer.json"
        return sum(file.stat().st_size for file in (weights, tokenizer) if file.exists())

    def write(self, job: ExportJob, to: Path) -> None:
        """Copy the weights. In the config, the base's Hub id replaces its path.

        A generative model gets the generation settings of the chat, because those of the base differ.
        """
        source, info = result_folder(job.run), job.run.info
        head = head_of(info, job.run.spec.data)
        if head.generates:
            job.enter(Phase.LOADING, "Loading the model")
            pair = job.model_cache.pair(job.run)
            write_json(to / "generation_config.json", generation_settings(pair.tuned, pair.tokenizer))
        job.enter(Phase.WRITING, "Writing the weights")
        shutil.copyfile(source / ADAPTER_WEIGHTS, to / ADAPTER_WEIGHTS)
        config = read_json(source / "adapter_config.json")
        config["base_model_name_or_path"] = info.hub_id or info.title
        config["revision"] = info.revision
        write_json(to / "adapter_config.json", config)
        if head.labels:
            write_json(to / "labels.json", {str(number): label for number, label in enumerate(head.labels)})

    def snippet(self, run: RunRef, place: str) -> str:
        """Return code that loads the base from the Hub and the adapter on top."""
        return snippets.adapter(run, place)
