"""Graphs that tell what they learn of their caller."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph_sdk.runtime import ServerRuntime
from typing_extensions import TypedDict


class Told(TypedDict, total=False):
    told: dict[str, Any]


def tell(state: Told, config: RunnableConfig, runtime: Runtime[None]) -> Told:
    """What is in configurable, and what langgraph makes of it."""
    known = config["configurable"]
    user = known["langgraph_auth_user"]
    server = runtime.server_info
    return {
        "told": {
            "identity": user and user.identity,
            "email": user and user.get("email"),
            "permissions": known["langgraph_auth_permissions"],
            "auth_user_id": known["langgraph_auth_user_id"],
            "user_id": known["user_id"],
            "runtime": server and server.user and server.user.identity,
            "fields": sorted(user) if user else [],
        }
    }


who = (
    StateGraph(Told)
    .add_node("tell", tell)  # type: ignore[arg-type, call-overload, unused-ignore]
    .add_edge(START, "tell")
    .add_edge("tell", END)
    .compile()
)


def make(config: RunnableConfig, runtime: ServerRuntime) -> Any:
    """A graph made for a user."""
    made_for = runtime.user and runtime.user.identity

    def tell_maker(state: Told) -> Told:
        return {"told": {"made_for": made_for, "ensured": runtime.ensure_user().identity}}

    return StateGraph(Told).add_node("tell", tell_maker).add_edge(START, "tell").add_edge("tell", END).compile()
