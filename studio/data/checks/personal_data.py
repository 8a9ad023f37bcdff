"""Personal data in texts: e-mail addresses, phone numbers, card numbers and keys. Reports show them masked."""

from collections import Counter

from studio.data.checks.base import Context, RowView
from studio.data.checks.cell_edits import TextCheck
from studio.data.personal_data import PERSONAL_DATA, find_personal_data, masked, may_contain_any
from studio.data.phrases import listed
from studio.schema.numbers import plural

NAMED = 3


class PersonalData(TextCheck):
    kind = "personal-data"
    changed = "{rows} masked"
    why = "A model can memorize such data and repeat it to anyone who asks."

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, None] = {}

    def visit(self, view: RowView) -> None:
        matches = [each for text in view.texts if may_contain_any(text) for each in find_personal_data(text)]
        if not matches:
            return
        self.row_numbers.append(view.number)
        for name, text in matches:
            self.counts[name] += 1
            if len(self.examples) < NAMED:
                self.examples[PERSONAL_DATA[name].redacted(text)] = None

    def change(self, text: str) -> str:
        return masked(text)

    def finish(self) -> None:
        masks = listed(PERSONAL_DATA[name].mask for name in self.counts)
        self.fix = f"Mask them: write {masks} instead"

    def message(self) -> str:
        return plural(
            len(self.row_numbers),
            "{n} row has personal data: {kinds} ({examples}).",
            "{n} rows have personal data: {kinds} ({examples}).",
            kinds=listed(plural(count, *PERSONAL_DATA[name].counted) for name, count in self.counts.most_common()),
            examples=listed(self.examples, NAMED),
        )
