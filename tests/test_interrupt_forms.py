"""The forms questions are answered with: schemas, actions, free text; and what resumes the graph."""

from typing import Any

import pytest

from console.interrupts import BadAnswer, Question, action_of, answer_of, questions
from threads.models import Thread

SCHEMA = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {"type": "number", "title": "Amount"},
        "currency": {"enum": ["EUR", "USD"]},
        "note": {"type": "string"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array"},
    },
}
ACTION = {"action_request": {"action": "refund", "args": {"amount": 1}}, "config": {"allow_ignore": False}}


def asked(value: Any, schema: Any = None) -> Question:
    """The one question of a thread that asks it."""
    interrupt = {"id": "i", "value": value, **({"response_schema": schema} if schema else {})}
    found = questions(Thread(interrupts={"task": [interrupt]}))
    assert len(found) == 1
    return found[0]


def test_a_schema_becomes_a_form_and_what_is_filled_in_has_its_types() -> None:
    given = {"field-amount": "2.5", "field-currency": "USD", "field-urgent": "1", "field-tags": '["a"]'}
    assert answer_of(asked("how much?", SCHEMA), given) == {
        "amount": 2.5,
        "currency": "USD",
        "urgent": True,
        "tags": ["a"],
    }


@pytest.mark.parametrize("given", [{}, {"field-amount": "much"}, {"field-amount": "1", "field-tags": "["}])
def test_what_does_not_fit_the_schema_is_no_answer(given: dict[str, str]) -> None:
    with pytest.raises(BadAnswer):
        answer_of(asked("how much?", SCHEMA), given)


@pytest.mark.parametrize("in_list", [False, True])
def test_an_action_is_accepted_edited_or_answered_in_words(in_list: bool) -> None:
    question = asked([ACTION] if in_list else ACTION)

    def answer(**given: str) -> Any:
        found = answer_of(question, given)
        return found[0] if in_list else found

    assert answer(way="accept") == {"type": "accept", "args": None}
    assert answer(way="edit", arguments='{"amount": 2}') == {
        "type": "edit",
        "args": {"action": "refund", "args": {"amount": 2}},
    }
    assert answer(way="respond", words=" no ") == {"type": "response", "args": "no"}
    edits = [{"way": "edit", "arguments": text} for text in ("[", "[]")]
    for bad in ({"way": "ignore"}, {"way": "respond"}, *edits):
        with pytest.raises(BadAnswer):
            answer(**bad)


@pytest.mark.parametrize("value", ["text", {"action_request": "x"}, [ACTION, ACTION], {"question": "?"}, None, 7])
def test_what_is_no_action_is_answered_freely(value: Any) -> None:
    question = asked(value)
    assert action_of(value) is None
    assert answer_of(question, {"answer": '{"a": 1}'}) == {"a": 1}
    assert answer_of(question, {"answer": " yes "}) == "yes"
    with pytest.raises(BadAnswer):
        answer_of(question, {"answer": " "})
    assert question.title


def test_rows_of_any_form_are_looked_through() -> None:
    rows: list[Any] = [{}, {"t": None}, {"t": [None, {}, {"value": 1}]}, [], None]
    for interrupts in rows:
        assert questions(Thread(interrupts=interrupts)) == []
