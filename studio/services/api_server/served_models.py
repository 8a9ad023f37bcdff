"""Which models an API server has: the fine-tuned models of runs, and their base models."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from studio.inference.heads import Head, head_of
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo
from studio.schema.serving import ServedModel
from studio.services.exports.service import Exports


class ServedModels:
    """Models of a workspace that the API can serve."""

    def __init__(self, exports: Exports) -> None:
        self.exports, self.finished, self.context = exports, exports.finished, exports.context

    def of(self, runs: Sequence[str], base: bool = True) -> list[ServedModel]:
        """The models of runs, each once, and after them their base models.

        Raises:
            StudioError: a run does not exist, has no result, or can't be served.
        """
        self.context.require_owner("Serving models through an API")
        if not runs:
            raise StudioError(
                "bad-setting", "The API server needs a run.", hint="For example: studio serve-api last", field="run"
            )
        models: dict[str, ServedModel] = {}
        for each in runs:
            model = self._tuned(each)
            models.setdefault(model.name, model)
        bases = {
            base_name(model.run.info): model
            for model in models.values()
            if base and not head_of_run(model.run).single_pass
        }
        for name, model in bases.items():
            of_base = {"name": name, "alias": "", "who": "base", "gguf": "", "system_prompt": ""}
            models.setdefault(name, model.model_copy(update=of_base))
        return list(models.values())

    def _tuned(self, run: str) -> ServedModel:
        record, _ = self.finished.get(run)
        ref = self.finished.ref(record.id)
        return ServedModel(
            name=record.id,
            alias=record.name,
            who="tuned",
            base=base_name(ref.info),
            run=ref,
            created=int(datetime.fromisoformat(record.created).timestamp()),
            classifies=head_of_run(ref).single_pass,
            gguf=self._gguf(record.id),
            system_prompt=ref.spec.config.system_prompt,
        )

    def _gguf(self, run: str) -> str:
        """The GGUF file that was exported from a run. Empty if there is none."""
        folders = [view.done.path for view in self.exports.all(run) if view.done]
        files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
        return str(files[0]) if files else ""


def base_name(info: ModelInfo) -> str:
    """The name of a base model in the API: that of a folder is its last part, not its path."""
    return Path(info.name).name if Path(info.name).is_absolute() else info.name


def head_of_run(run: RunRef) -> Head:
    """The head of a run's model."""
    return head_of(run.info, run.spec.data)
