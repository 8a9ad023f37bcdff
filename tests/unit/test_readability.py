"""The texts of the page and of the docs are easy to read, and all of them are measured."""

import pytest

from benchmarks import readability

PAGE = """# A heading with several words

A paragraph with `code` and
a [link](page.md) in **bold**.

- The first item of the list.
- The second item,
  which goes on.

| a table | is left out |
|---|---|

```sh
studio train rows.csv
```

    studio indented code

<!-- a comment is left out -->
Last words of the page.
"""
HARD = (
    "Notwithstanding considerable methodological heterogeneity, representational generalization capabilities "
    "substantially deteriorate whenever hyperparameter configurations necessitate disproportionate regularization."
)


def test_prose_of_a_page_is_without_headings_tables_and_code() -> None:
    assert list(readability.paragraphs(PAGE)) == [
        "A paragraph with code and a link in bold.",
        "The first item of the list.",
        "The second item, which goes on.",
        "Last words of the page.",
    ]


@pytest.mark.slow
def test_a_hard_source_is_above_its_limit_and_an_easy_one_is_not() -> None:
    hard = readability.measured("hard", [HARD], readability.DOCS_LIMIT)
    easy = readability.measured("easy", ["The model reads a row. Then it learns from it."], readability.PAGE_LIMIT)
    assert hard.mean > hard.limit
    assert easy.mean < easy.limit


def test_labels_are_not_measured_and_a_text_counts_once() -> None:
    texts = ["Batch size", "The model reads a row.", "The  model reads a row."]
    assert list(readability.measured("x", texts, 8).grades) == ["The model reads a row."]


def test_the_hardest_sentence_comes_first() -> None:
    ordered = readability.sentences([f"The model reads a row. {HARD}"])
    assert [sentence for _, sentence in ordered] == [HARD, "The model reads a row."]


def test_every_source_of_page_texts_is_found() -> None:
    for name, texts in readability.page_texts().items():
        assert readability.measured(name, texts, 8).grades, name
    catalog = readability.catalog_texts()
    assert all(len(catalog[name]) > 20 for name in readability.CATALOG)


@pytest.mark.slow
def test_page_texts_are_at_most_grade_8_and_docs_at_most_grade_10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["readability.py"])
    assert readability.main() == 0


@pytest.mark.slow
def test_a_mean_above_its_limit_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["readability.py"])
    monkeypatch.setattr(readability, "PAGE_LIMIT", 1.0)
    assert readability.main() == 1
    assert "above" in capsys.readouterr().out
