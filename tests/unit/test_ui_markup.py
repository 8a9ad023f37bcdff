"""What is put into the page is escaped, and numbers are written as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.schema.errors import StudioError
from studio.schema.numbers import about, count, duration, memory, rows, share, size, size_of, time_range
from studio.ui.components.basic import Card, alert, button, cards, select_input, text_input, textarea
from studio.ui.components.markup import Html, attrs, esc, html, join

EVIL = "<script>alert(1)</script>\"' onerror=x"


def test_text_is_escaped_in_content_and_in_attributes() -> None:
    made = html('<p title="{t}">{t}</p>', t=EVIL)
    assert "<script" not in made and "\"'" not in made
    assert made.count("&lt;script&gt;") == 2


def test_html_that_is_html_already_stays_and_lists_are_joined() -> None:
    assert (
        html("<ul>{items}</ul>", items=[html("<li>{x}</li>", x=x) for x in ("a", "<b>")])
        == "<ul><li>a</li><li>&lt;b&gt;</li></ul>"
    )
    assert html("{a}{b}", a=None, b=Html("<i></i>")) == "<i></i>"


def test_braces_in_texts_are_no_templates() -> None:
    assert html("<p>{t}</p>", t="{secret} {0.__class__}") == "<p>{secret} {0.__class__}</p>"


@pytest.mark.slow
@given(st.text())
def test_no_text_can_open_a_tag_or_end_an_attribute(text: str) -> None:
    made = esc(text)
    assert "<" not in made and ">" not in made and '"' not in made and "'" not in made
    assert attrs(title=text).count('"') == 2


def test_adding_a_text_to_html_escapes_it() -> None:
    assert Html("<b></b>") + "<i>" == "<b></b>&lt;i&gt;"
    assert join(["<", Html("<br>")], " & ") == "&lt; &amp; <br>"


def test_attributes_that_are_off_are_left_out() -> None:
    assert attrs(checked=True, disabled=False, data_act=None, class_="x") == ' checked class="x"'


def test_an_alert_says_what_given_right_and_hint_and_escapes_them() -> None:
    made = alert(StudioError("bad-setting", f"No {EVIL}.", given=EVIL, valid="1 to 9", hint="Try 3."))
    assert 'role="alert"' in made and "<script" not in made
    assert "Expected: 1 to 9." in made and "Try 3." in made


def test_several_problems_are_a_line_each() -> None:
    both = [StudioError("bad-setting", "First.", rows=(3, 4)), StudioError("bad-setting", "Second.")]
    made = alert(StudioError("bad-setting", "First.", problems=both))
    assert made.count("<p>") == 2 and "Rows 3, 4." in made


def test_a_card_that_is_off_says_why_and_can_not_be_chosen() -> None:
    made = cards(
        "m",
        "pick",
        [Card("a", "A", "Good."), Card("b", "B", "Bad.", unavailable_reason="Needs a GPU.")],
        "b",
        aria_label="Method",
    )
    assert made.count("disabled") == 1 and "checked" not in made
    assert "Needs a GPU." in made and "Bad." not in made


def test_a_button_carries_its_data_escaped() -> None:
    assert 'data-name="&lt;b&gt;"' in button("Go", "go", name="<b>")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (size(270e6), "270 MB"),
        (size(1.2e9), "1.2 GB"),
        (size(212_000), "212 KB"),
        (size(12), "12 bytes"),
        (" of ".join(size_of(0.4e9, 1.2e9)), "0.4 of 1.2 GB"),
        (memory(24 * 2**30), "24 GB"),
        (count(2_400_000), "2.4 M"),
        (count(984), "984"),
        (rows(1), "1 row"),
        (rows(1234), "1,234 rows"),
        (share(0.018, 1), "1.8%"),
        (about(30), "under a minute"),
        (about(420), "7 min"),
        (about(7800), "2 h 10 min"),
        (time_range(336, 504), "6–8 min"),
        (duration(48), "48 s"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
    ],
)
def test_numbers_have_units_and_few_digits(made: str, words: str) -> None:
    assert made == words


@pytest.mark.parametrize(
    "made",
    [
        textarea("pasted", "", ""),
        text_input("name", "", ""),
        select_input("sheet", [("a", "A")], "a", ""),
    ],
)
def test_a_field_that_is_taken_along_by_a_button_does_nothing_by_itself(made: Html) -> None:
    assert "data-act" not in made
