"""Human approval: the graph drafts a refund, stops at `interrupt()`, and goes on when a person has decided.

    await client.runs.wait(thread_id, "approval", input={"messages": [{"role": "user", "content": "Refund order 7"}]})
    await client.runs.wait(thread_id, "approval", command={"resume": {"type": "accept"}})

The pause has the shape Agent Inbox and Agent Chat UI draw buttons for. It lasts as long as it must: hours, restarts.
"""

import re
from typing import Any, Literal

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict


class ActionRequest(TypedDict):
    """What the graph wants to do."""

    action: str
    args: dict[str, Any]


class Outcome(TypedDict):
    """What the human decided: the action to carry out, if any, and the words that came with it."""

    decision: Literal["accepted", "edited", "answered", "ignored"]
    action_request: ActionRequest | None
    note: str | None


class State(MessagesState):
    """The conversation, the action (as drafted, then as approved), and the outcome (null until a human has decided)."""

    action_request: ActionRequest
    outcome: Outcome | None


async def draft(state: State) -> dict[str, Any]:
    """Turn the request into an action, ready to be judged."""
    said = [str(message.text) for message in state["messages"] if isinstance(message, HumanMessage)] or [""]
    order = re.search(r"order\s*#?(\w+)", said[-1], re.IGNORECASE)
    amount = re.search(r"(\d+(?:\.\d+)?)\s*(?:EUR|€)", said[-1], re.IGNORECASE)
    args = {"order": order[1] if order else "1042", "amount": float(amount[1]) if amount else 25.0, "currency": "EUR"}
    return {"action_request": ActionRequest(action="refund", args=args), "outcome": None}


async def review(state: State) -> Command[Literal["refund", "__end__"]]:
    """Stop until a human decides; an answer that cannot be read is asked for again."""
    request = state["action_request"]
    outcome = None
    while outcome is None:
        outcome = decide(interrupt(question(request)), request)
    if approved := outcome["action_request"]:
        return Command(goto="refund", update={"outcome": outcome, "action_request": approved})
    reason = f": {outcome['note']}" if outcome["note"] else "."
    return Command(goto="__end__", update={"outcome": outcome, "messages": [AIMessage(f"No refund was made{reason}")]})


async def refund(state: State) -> dict[str, Any]:
    """Carry out what was approved. A real graph would call the payment provider here."""
    args = state["action_request"]["args"]
    return {"messages": [AIMessage(f"Refunded {args['amount']} {args['currency']} for order {args['order']}.")]}


def question(request: ActionRequest) -> dict[str, Any]:
    """The interrupt's value, as Agent Inbox reads it."""
    return {
        "action_request": request,
        "config": {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True},
        "description": "Approve this refund, edit its amount, ignore it, or say why not.",
    }


def decide(answer: object, request: ActionRequest) -> Outcome | None:
    """Read a human's answer: a boolean, a word, or Agent Inbox's {"type", "args"} (also in a list); else None."""
    match answer:
        case [single]:
            return decide(single, request)
        case str(word) if word.lower() in ("yes", "no"):
            return decide(word.lower() == "yes", request)
        case True | {"type": "accept"}:
            return Outcome(decision="accepted", action_request=request, note=None)
        case False | {"type": "ignore"}:
            return Outcome(decision="ignored", action_request=None, note=None)
        case {"type": "edit", "args": {"args": dict(args)}} | {"type": "edit", "args": dict(args)}:
            edited = ActionRequest(action=request["action"], args={**request["args"], **args})
            return Outcome(decision="edited", action_request=edited, note=None)
        case {"type": "response", "args": str(note)} | str(note):
            return Outcome(decision="answered", action_request=None, note=note)
    return None


builder = StateGraph(State, input_schema=MessagesState)
builder.add_node("draft", draft)
builder.add_node("review", review)
builder.add_node("refund", refund)
builder.add_edge(START, "draft")
builder.add_edge("draft", "review")
graph = builder.compile(name="approval")
