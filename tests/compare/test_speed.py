"""The forms take turns, and loading takes its turn among them."""

from __future__ import annotations

from gluonbook.compare.speed import AS_WRITTEN, HYBRIDIZED, LOADING, seconds_of
import pytest


class Asked:
    """Answers with the number of questions that were asked so far, of it or of another."""

    def __init__(self, name, questions):
        self.name, self.questions = name, questions

    def ask(self, question):
        self.questions.append((self.name, question))
        return len(self.questions)


@pytest.mark.parametrize(
    ("work", "forms", "expected"),
    [
        (
            "train",
            [HYBRIDIZED, AS_WRITTEN],
            {HYBRIDIZED: [4, 7], AS_WRITTEN: [5, 8], LOADING: [6, 9]},
        ),
        ("train", [AS_WRITTEN], {AS_WRITTEN: [2, 3]}),
        ("infer", [HYBRIDIZED, AS_WRITTEN], {HYBRIDIZED: [3, 5], AS_WRITTEN: [4, 6]}),
    ],
)
def test_forms_take_turns_after_a_round_that_does_not_count(work, forms, expected):
    questions = []
    workers = {form: Asked(form, questions) for form in forms}
    assert seconds_of(workers, work, 2) == expected
    assert {question for form, question in questions if form == AS_WRITTEN} == {work}
