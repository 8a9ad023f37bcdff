"""Texts that differ most from each other."""

from studio.data.different_texts import different_texts


def test_the_first_text_is_kept_and_the_others_are_least_like_it() -> None:
    texts = [
        "Where is my order 1001?",
        "Where is my order 1002?",
        "Where is my order 1003?",
        "How do I return a broken lamp?",
        "Which colors does the chair have?",
    ]
    chosen = different_texts(texts, 3)
    assert chosen[0] == texts[0]
    assert set(chosen[1:]) == set(texts[3:])


def test_few_texts_are_all_taken_and_equal_ones_once() -> None:
    assert different_texts(["one", "one", "two"], 3) == ["one", "two"]
    assert different_texts([], 3) == []


def test_texts_without_spaces_are_compared_by_their_characters() -> None:
    texts = ["我的订单在哪里一千零一", "我的订单在哪里一千零二", "这把椅子有哪些颜色可以选"]
    assert different_texts(texts, 2) == [texts[0], texts[2]]


def test_a_long_word_is_compared_as_other_words_are() -> None:
    texts = [
        "Wie reinige ich den Wecker am besten?",
        "Was kostet der Versand für einen Wecker nach Österreich?",
        "Was kostet der Versand für eine Schreibtischlampe nach Österreich?",
        "Wie lange habe ich Garantie auf den Wandspiegel?",
    ]
    assert different_texts(texts, 3) == [texts[0], texts[2], texts[3]], "not twice the question about the cost"
