"""What came of a run: talking to it, scoring it, taking it away."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from studio.api.base import Door
from studio.schema.report import Answer, ChatSettings, ExportResult, Report
from studio.schema.views import (
    ChatChunk,
    ExportView,
)
from studio.services.model_host.replies import Replies

OnProgress = Callable[[int, int, str], None]


class ResultsDoor(Door):
    """What came of a run: talking to it, scoring it, taking it away."""

    # --- the result ---

    def warm_up(self, run: str) -> None:
        """Load both models, since a person is about to chat."""
        self._answers.warm_up(run)

    def chat_place(self) -> Callable[[], None]:
        """Take this workspace's place for a chat; returns what gives it back. `limit-reached` when it is taken."""
        return self._answers.chat_place()

    def ask(
        self,
        run: str,
        messages: Sequence[dict[str, str]],
        settings: ChatSettings,
        give_back: Callable[[], None] | None = None,
    ) -> Replies:
        """Both answers as they come: replies in pieces, or labels. `give_back` when the place for it was taken."""
        return self._answers.ask(run, messages, settings, give_back)

    def chat(self, run: str, messages: Sequence[dict[str, str]], settings: ChatSettings) -> Iterator[ChatChunk]:
        """Both replies as they are written; ending the iteration stops them."""
        return self._answers.chat(run, messages, settings)

    def classify(self, run: str, text: str) -> tuple[Answer, Answer]:
        """Labels of base and tuned for a text."""
        return self._answers.classify(run, text)

    def at_once(self, run: str) -> bool:
        """Whether a run's model answers with labels and probabilities (`classify`) instead of word by word (`chat`)."""
        return self._answers.at_once(run)

    def how(self, run: str) -> str:
        """A word on how the tuned model answers, where a person should know it."""
        return self._answers.how(run)

    def evaluate(self, run: str, data: str | None = None, progress: OnProgress | None = None) -> Report:
        """Base and tuned on rows kept apart, or on a file's."""
        return self._answers.evaluate(run, data, progress)

    def report(self, run: str) -> Report | None:
        """The kept report of a run."""
        return self._answers.report(run)

    def predict(self, run: str, data: str, out: Path, base: bool = False, progress: OnProgress | None = None) -> int:
        """Write the rows of a file with predictions; how many."""
        return self._answers.predict(run, data, Path(out), base=base, progress=progress)

    def exports(self, run: str) -> list[ExportView]:
        """In which forms a run can be taken away."""
        return self._answers.exports(run)

    def export(self, run: str, format: str, to: Path | None = None, progress: OnProgress | None = None) -> ExportResult:
        """Write an export, load it again and compare."""
        return self._answers.export(run, format, to, progress)

    def export_zip(self, run: str, format: str) -> Path:
        """The zip of an export that was made, to be downloaded."""
        return self._answers.export_zip(run, format)
