"""The studio's own inference, in a process of its own: classifiers, and models that no other engine can serve."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from studio.inference.heads import head_of
from studio.schema.serving import ServedModel
from studio.serving.engines.base import Engine, Launch

MODEL = "STUDIO_SERVED_MODEL"
SECRET = "STUDIO_SERVED_SECRET"


class Own(Engine):
    """The code that answers in the studio's chat."""

    name = "studio"
    title = "the studio's own inference"
    at_once = 4
    needs_weights = False
    prepares_prompts = True

    def slots(self, model: ServedModel) -> int:
        """One thread computes. Replies take turns in it, token by token; a request for labels is computed at once."""
        return 1 if model.classifies else self.at_once

    def unavailable_reason(self, model: ServedModel) -> str:
        """It serves all that the API has an endpoint for."""
        if head_of(model.run.info, model.run.spec.data).name == "spans":
            return "The API has no endpoint for models that extract an answer from a text."
        return ""

    def reason(self, model: ServedModel) -> str:
        """It is the one that fits all."""
        if model.classifies:
            return "The model is a classifier, and gives the probabilities of studio predict."
        return "No other engine can serve this model. It answers as the studio's chat does."

    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        """Serve one model. Its description goes through the environment, not through the command line."""
        [model] = models
        environment = {MODEL: model.model_dump_json(), SECRET: secret, "HF_HUB_OFFLINE": "1"}
        return Launch("studio.serving.own_server:main", [str(port)], Path(model.run.folder), environment)

    def model_name(self, model: ServedModel) -> str:
        """The name of the API."""
        return model.name
