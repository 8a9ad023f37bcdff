"""Chat with a run's model and its base model, and classification of one text. The model host does the work."""

from collections.abc import Iterator, Sequence
from functools import partial

from studio.inference.base_and_tuned import has_qa_head, how
from studio.inference.classify import NEIGHBORS
from studio.inference.heads import head_of
from studio.inference.spans import SENTENCE_TITLE
from studio.schema.errors import StudioError
from studio.schema.report import Answer, ChatSettings
from studio.schema.views import ChatChunk
from studio.services.model_host.client import HostClient
from studio.services.model_host.replies import Replies, label_chunks, reply_chunks
from studio.services.runs.finished_runs import FinishedRuns
from studio.tasks import task_named
from studio.training.methods import quantizes_base

MOST_MESSAGES, MOST_CHARACTERS = 200, 100_000
CHARACTERS_PER_TOKEN = 32
"""Maximum characters of a visitor's conversation for each token that a reply may have."""


class Chat:
    """Chats with the models of a workspace's runs."""

    def __init__(self, finished: FinishedRuns, host: HostClient) -> None:
        self.finished, self.context = finished, finished.context
        self.host = host.of(self.context.workspace)

    def warm_up(self, run: str) -> None:
        """Load both models now."""
        self.host.result("load", run=self.finished.ref(run))

    def ask(self, run: str, messages: Sequence[dict[str, str]], settings: ChatSettings) -> Replies:
        """The replies of both models to a conversation: texts as they are written, or labels.

        Raises:
            StudioError `limit-reached`: when the visitor's last message is still being answered.
        """
        give_back = self.host.place("chat")
        try:
            self._check_messages(messages, settings.system)
            ref = self.finished.ref(run)
            if self.is_classifier(run):
                text = str(messages[-1]["content"])
                return Replies(self.host.ask("classify", give_back, run=ref, text=text), label_chunks)
            limit = self.context.workspace.limits.chat_tokens
            limited = self.context.workspace.limits.over("chat_tokens", settings.max_new_tokens)
            if limited:
                settings = settings.model_copy(update={"max_new_tokens": limit})
            note = f"Limited to {limit:,} tokens in this demo." if limited else ""
            exchange = self.host.ask("chat", give_back, run=ref, messages=list(messages), settings=settings)
            return Replies(exchange, partial(reply_chunks, note=note))
        except BaseException:
            give_back()
            raise

    def stream(self, run: str, messages: Sequence[dict[str, str]], settings: ChatSettings) -> Iterator[ChatChunk]:
        """Both replies as they are written. Ending the iteration stops them."""
        if self.is_classifier(run):
            raise StudioError(
                "wrong-state",
                "This run predicts labels. It does not write replies.",
                given="chat",
                hint="Ask for labels instead. studio chat does this automatically.",
            )
        return self.ask(run, messages, settings)

    def classify(self, run: str, text: str) -> tuple[Answer, Answer]:
        """Labels with probabilities: of the nearest neighbors among the training rows, and of the fine-tuned model.

        A question-answering base model answers itself if it has such a head.
        """
        self._check_messages([{"role": "user", "content": text}])
        result = self.host.result("classify", run=self.finished.ref(run), text=text)
        return Answer.model_validate(result["base"]), Answer.model_validate(result["tuned"])

    def note(self, run: str) -> str:
        """A note about how the fine-tuned model answers, or empty. Loads nothing."""
        config = self.finished.store.spec(self.finished.store.get(run).id).config
        return how(config, quantizes_base(config.method))

    def baseline(self, run: str) -> str:
        """Name of the baseline that answers where the base model can't do the task. Empty: the base model answers."""
        spec = self.finished.store.spec(run)
        try:
            info = self.finished.models.find(spec.config.model)
            head = head_of(info, spec.data).name
        except StudioError:  # the base model is gone
            return NEIGHBORS if task_named(spec.config.task).has_labels else ""
        if head == "labels":
            return NEIGHBORS
        return SENTENCE_TITLE if head == "spans" and not has_qa_head(info) else ""

    def is_classifier(self, run: str) -> bool:
        """Whether the model answers with labels and probabilities."""
        spec = self.finished.store.spec(run)
        try:
            return head_of(self.finished.models.find(spec.config.model), spec.data).single_pass
        except StudioError:  # the base model is gone: the model can't answer, but saved results can be shown
            return task_named(spec.config.task).has_labels

    def _check_messages(self, messages: Sequence[dict[str, str]], system: str = "") -> None:
        limit = self.context.workspace.limits.chat_tokens
        most = min(MOST_CHARACTERS, CHARACTERS_PER_TOKEN * limit) if limit else MOST_CHARACTERS
        if (
            len(messages) > MOST_MESSAGES
            or len(system)
            + sum(len(str(each.get("content", ""))) + len(str(each.get("base", ""))) for each in messages)
            > most
        ):
            raise StudioError(
                "limit-reached" if limit else "bad-setting",
                "The conversation is too long.",
                valid=f"up to {most:,} characters in this demo" if limit else f"up to {most:,} characters",
                hint="Clear it and start a new one.",
            )
        if not messages or not str(messages[-1].get("content", "")).strip():
            raise StudioError("bad-setting", "The message is empty.", hint="Write a message first.")
