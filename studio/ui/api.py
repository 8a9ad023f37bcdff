"""Named API endpoints for the owner of the machine: plan, train, status, chat, predict.

Gradio's "Use via API" page describes them, `gradio_client` calls them, and with `studio serve --mcp` agents call them.
A public demo has none of them, and members of a team who are not the owner are refused.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from studio.api import RunRequest, Studio
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.ui.logs import report
from studio.ui.visitors.session import Sessions

T = TypeVar("T")


def add(sessions: Sessions) -> None:
    """Add the endpoints to the Blocks that are being built."""

    def answer(request: gr.Request, work: Callable[[Studio], T]) -> T:
        return _answer(sessions, request, work)

    def plan(
        request: gr.Request,
        dataset: str,
        model: str,
        task: str = "",
        method: str = "",
        settings: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Plan a run: its settings with reasons, and the estimated time and memory.

        Args:
            dataset: a dataset's id, `sample:NAME`, `hf:OWNER/NAME`, or a file on the server.
            model: a starter model, a model of the Hub or a folder.
            task: for example `chat`; inferred from the columns when empty.
            method: for example `lora`; chosen when empty.
            settings: fields of a run's settings, for example {"epochs": 3}.
        """
        chosen = {"task": task or None, "method": method or None, "settings": settings or {}}
        return answer(request, lambda studio: _plan(studio, _request(studio, dataset, model=model, **chosen)))

    def train(
        request: gr.Request,
        dataset: str,
        model: str,
        task: str = "",
        method: str = "",
        settings: dict[str, Any] | None = None,
        name: str = "",
    ) -> dict[str, Any]:
        """Start a run and return its id at once. Ask `status` for its progress. Arguments as for `plan`."""
        chosen = {"task": task or None, "method": method or None, "settings": settings or {}, "name": name}
        return answer(request, lambda studio: _train(studio, _request(studio, dataset, model=model, **chosen)))

    def status(request: gr.Request, run: str = "last") -> dict[str, Any]:
        """The state of a run: status, step, metrics, and a sentence.

        Args:
            run: a run's id, or `last`.
        """
        return answer(request, lambda studio: _status(studio, run))

    def chat(
        request: gr.Request, message: str, run: str = "last", system: str = "", max_new_tokens: int = 200
    ) -> dict[str, Any]:
        """The replies of the base model and of a run's fine-tuned model to one message.

        Args:
            message: the prompt.
            run: a run's id, or `last`.
            system: a system prompt.
            max_new_tokens: the maximum number of tokens of each reply.
        """
        return answer(
            request,
            lambda studio: _chat(studio, run, message, ChatSettings(system=system, max_new_tokens=max_new_tokens)),
        )

    def predict(request: gr.Request, text: str, run: str = "last") -> dict[str, Any]:
        """The labels of a text with probabilities, by the base model and by a run's fine-tuned classifier.

        Args:
            text: what to classify.
            run: a run's id, or `last`.
        """
        return answer(request, lambda studio: _predict(studio, run, text))

    for function in (plan, train, status, chat, predict):
        gr.api(function, api_name=function.__name__, concurrency_limit=None)


def _answer(sessions: Sessions, request: gr.Request, work: Callable[[Studio], T]) -> T:
    """The result of some work for the owner. Errors become messages of Gradio."""
    try:
        studio = sessions.studio_of(request.headers)
        studio.context.require_owner("The API")
        return work(studio)
    except StudioError as error:
        raise gr.Error(error.message, print_exception=False) from error
    except Exception as error:
        number = report(error, "in the API")
        message = f"Something went wrong. The server's log has the cause under {number}."
        raise gr.Error(message, print_exception=False) from error


def _request(studio: Studio, dataset: str, **fields: Any) -> RunRequest:
    return RunRequest(dataset=studio.datasets.open(dataset).id, **fields)


def _plan(studio: Studio, request: RunRequest) -> dict[str, Any]:
    view = studio.planning.plan(request)
    return {
        "settings": view.plan.config.model_dump(mode="json"),
        "because": list(view.plan.because),
        "estimate": view.estimate.model_dump(mode="json"),
    }


def _train(studio: Studio, request: RunRequest) -> dict[str, Any]:
    record = studio.runs.start(request)
    return {"id": record.id, "name": record.name, "status": record.status}


def _status(studio: Studio, run: str) -> dict[str, Any]:
    progress = studio.runs.progress(run)
    record = progress.record.model_dump(mode="json")
    return {**record, "share": progress.share, "sentence": progress.sentence}


def _chat(studio: Studio, run: str, message: str, settings: ChatSettings) -> dict[str, Any]:
    texts = {"base": "", "tuned": ""}
    for chunk in studio.chat.stream(run, [{"role": "user", "content": message}], settings):
        texts[chunk.who] = chunk.text
    return texts


def _predict(studio: Studio, run: str, text: str) -> dict[str, Any]:
    base, tuned = studio.chat.classify(run, text)
    return {"base": base.model_dump(mode="json"), "tuned": tuned.model_dump(mode="json")}
