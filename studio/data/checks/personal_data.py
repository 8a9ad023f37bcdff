"""Personal data in texts: e-mail addresses, phone numbers, card numbers and keys; shown masked, masked on request."""

from collections import Counter

from studio.data.checks.base import Context, Seen
from studio.data.checks.cell_edits import TextCheck
from studio.data.personal_data import PRIVATE, masked, may_hold_any, private_in
from studio.data.phrases import listed, many
from studio.schema.dataset import Problem

NAMED = 3


class PersonalData(TextCheck):
    kind = "personal-data"
    changed = "masked"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, None] = {}

    def see(self, seen: Seen) -> None:
        found = [each for text in seen.texts if may_hold_any(text) for each in private_in(text)]
        if not found:
            return
        self.found.append(seen.number)
        for name, text in found:
            self.counts[name] += 1
            if len(self.examples) < NAMED:
                self.examples[PRIVATE[name].shown(text)] = None

    def change(self, text: str) -> str:
        return masked(text)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        counted = listed(many(count, *PRIVATE[name].words) for name, count in self.counts.most_common())
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row holds', 'rows hold')} personal data: {counted} "
                f"({listed(self.examples, NAMED)}).",
                "A model can learn such data by heart and tell it to anybody.",
                f"Mask them: {listed(PRIVATE[name].mask for name in self.counts)} instead",
            )
        ]
