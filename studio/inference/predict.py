"""Predictions for many rows, batch by batch."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from studio.inference.base_and_tuned import ModelPair
from studio.inference.batches import by_length
from studio.inference.classify import neighbors, predicted_label, probabilities
from studio.inference.generate import BatchOptions, max_reply_tokens, replies
from studio.inference.spans import extract_answers
from studio.schema.report import ChatSettings
from studio.tasks import Row

Prediction = tuple[str, float | None]
"""A reply or a label, and the probability of a label."""
MOST_TOKENS, MOST_REPLIES = 2048, 16
"""Maximum prompt tokens of a batch that is replied to, with padding, and its rows."""
DIGITS = 6
"""Decimals of a probability."""
MOST_LABELS = 9
"""Likeliest labels of a row that are returned with their probabilities."""


class Scored(NamedTuple):
    """A prediction, with the likeliest labels of a classifier that gives each row one label."""

    text: str
    confidence: float | None = None
    labels: tuple[tuple[str, float], ...] = ()
    """(label, probability), likeliest first."""


class Predictor:
    """Predicts rows with the fine-tuned (or base) model of a run.

    Batches are made of all rows. So the prediction of a row is the same, to the last digit, when others are left out.
    """

    def __init__(self, pair: ModelPair, roles: dict[str, str], base: bool, options: BatchOptions) -> None:
        self.pair, self.roles, self.base, self.options = pair, roles, base, options
        self.who = "base" if base else "tuned"

    def batches(self, rows: Sequence[Row], known: Collection[int] = ()) -> Iterator[dict[int, Scored]]:
        """Yield the predictions of each batch, position → prediction. Empty ones for rows without input come first.

        Batches whose positions are all `known` are left out.
        """
        usable = [number for number, row in enumerate(rows) if self.pair.task.text_of(row, self.roles).strip()]
        if unusable := set(range(len(rows))) - set(usable) - set(known):
            yield dict.fromkeys(sorted(unusable), Scored(""))
        encoding = self.pair.encoding(self.roles, self.options.settings.system)
        prompts = [self.pair.task.prompt_of(rows[each], self.roles) for each in usable]
        ids: list[Sequence[int]] = [self.pair.task.prompt_ids(prompt, encoding) for prompt in prompts]
        if self._replies:
            ids = truncated(self.pair, ids, self.options.settings)
        for batch in by_length([len(each) for each in ids], *self._sizes):
            positions = [usable[each] for each in batch]
            if not set(positions) <= set(known):
                scored = self._scored([rows[each] for each in positions], [ids[each] for each in batch])
                yield dict(zip(positions, scored, strict=True))

    @property
    def _replies(self) -> bool:
        return not self.pair.head.single_pass

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Maximum tokens and rows of a batch."""
        return (MOST_TOKENS, MOST_REPLIES) if self._replies or self.pair.head.name == "spans" else ()

    def _scored(self, rows: Sequence[Row], ids: Sequence[Sequence[int]]) -> list[Scored]:
        """Return the predictions of one batch."""
        if self._replies:
            return [Scored(text) for text in replies_to(self.pair, ids, self.who, self.options)]
        if self.pair.head.name == "spans":
            values = [self.pair.task.values(row, self.roles) for row in rows]
            questions = [(each.get("question") or "", each.get("context") or "") for each in values]
            answers = extract_answers(self.pair, questions, self.who)
            return [Scored(each[0].text, round(each[0].share, DIGITS)) for each in answers]
        outputs = (neighbors(self.pair).probabilities if self.base else probabilities)(self.pair, ids)
        if self.pair.head.problem == "regression":
            return [Scored(predicted_label(self.pair, row)) for row in outputs]
        return [
            Scored(predicted_label(self.pair, row), round(float(row.max()), DIGITS), _likeliest(self.pair, row))
            for row in outputs
        ]


def predict(
    pair: ModelPair, rows: Sequence[Row], roles: dict[str, str], base: bool, options: BatchOptions
) -> list[Prediction]:
    """Return the prediction of the fine-tuned (or base) model for each row. Empty for a row without input."""
    predictions: dict[int, Scored] = {}
    for batch in Predictor(pair, roles, base, options).batches(rows):
        predictions.update(batch)
        options.progress(len(predictions), len(rows))
    return [(predictions[each].text, predictions[each].confidence) for each in range(len(rows))]


def _likeliest(pair: ModelPair, output: Any) -> tuple[tuple[str, float], ...]:
    """Return the likeliest labels. Empty where a row has several labels: then they do not exclude each other."""
    if pair.head.problem:
        return ()
    places = output.argsort()[::-1][:MOST_LABELS]
    return tuple((pair.labels[int(place)], round(float(output[place]), DIGITS)) for place in places)


def truncated(pair: ModelPair, prompts: Sequence[Sequence[int]], settings: ChatSettings) -> list[Sequence[int]]:
    """Return the prompts, without their beginning where they are too long for a reply to fit in."""
    if pair.head.name == "seq2seq":  # it reads its prompt, which was truncated already, elsewhere than it writes
        return list(prompts)
    longest = pair.context - min(settings.max_new_tokens, pair.context // 2)
    return [prompt[-longest:] for prompt in prompts]


def replies_to(pair: ModelPair, prompts: Sequence[Sequence[int]], who: str, options: BatchOptions) -> list[str]:
    """Return a reply to each prompt of one batch."""
    most = pair.context
    if pair.head.name != "seq2seq":
        most = min(max_reply_tokens(prompt, pair.context) for prompt in prompts)
    return replies(pair.model_for(who), pair.tokenizer, prompts, options.limited(most), lambda *_: options.stop())


def replies_in_batches(pair: ModelPair, prompts: Sequence[Sequence[int]], who: str, options: BatchOptions) -> list[str]:
    """Return a reply to each prompt, in batches of similar length. Prompts that are too long lose their beginning."""
    prompts, texts, done = truncated(pair, prompts, options.settings), [""] * len(prompts), 0
    for batch in by_length([len(prompt) for prompt in prompts], MOST_TOKENS, MOST_REPLIES):
        if options.stop():
            break
        for each, text in zip(batch, replies_to(pair, [prompts[at] for at in batch], who, options), strict=True):
            texts[each] = text
        done += len(batch)
        options.progress(done, len(prompts))
    return texts
