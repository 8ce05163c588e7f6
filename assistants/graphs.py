"""The graphs of the project: imported once a process, opened for each use. Never touches a row.

Source: contract/platform.md 8.3 and 8.4, contract/core.md 3.2.
"""

import functools
import importlib
import inspect
import typing
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import AccessContext, ServerRuntime, _ExecutionRuntime, _ReadRuntime

from config.errors import ApiError
from config.loading import import_file
from config.project import GraphEntry, ProjectError, prepare_process, project

# Clients derive the ids of default assistants themselves: this must match bit for bit (contract/core.md 3.2).
NAMESPACE = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
DEFAULT_NAME = "LangGraph"


class GraphLoadError(ProjectError):
    """A graph's module has no usable symbol."""


class NotAGraph(ApiError):
    """A factory returned something other than a graph."""

    status_code = 424
    shown_to_clients = True


@dataclass(frozen=True)
class Factory:
    """A callable that makes the graph for each use, and the keywords under which it takes its arguments."""

    function: Callable[..., Any]
    config_keyword: str | None
    runtime_keyword: str | None


@dataclass(frozen=True)
class LoadedGraph:
    """One registered graph."""

    entry: GraphEntry
    source: Pregel[Any, Any, Any, Any] | Factory
    module: ModuleType

    @property
    def name(self) -> str:
        """What its default assistant is called: the compiled graph's own name, else the graph id."""
        name = self.source.name if isinstance(self.source, Pregel) else DEFAULT_NAME
        return self.entry.graph_id if name in ("", DEFAULT_NAME) else name


def assistant_id_of(graph_id: str) -> uuid.UUID:
    """The id of the graph's default assistant."""
    return uuid.uuid5(NAMESPACE, graph_id)


@functools.cache
def load_all() -> dict[str, LoadedGraph]:
    """Every graph of the project by id, in the file's order. Raises ProjectError, or whatever a module raises."""
    prepare_process()
    return {graph_id: load(entry) for graph_id, entry in project().graphs.items()}


@functools.cache
def default_assistant_ids() -> dict[str, uuid.UUID]:
    """Graph id to the id of its default assistant."""
    return {graph_id: assistant_id_of(graph_id) for graph_id in project().graphs}


def stream_transformers(graph_id: str) -> list[Callable[..., Any]]:
    """What the graph's module adds to its event streams: `stream_transformers()` returns factories. None by default."""
    declare = getattr(load_all()[graph_id].module, "stream_transformers", None)
    return list(declare() or ()) if callable(declare) else []


@asynccontextmanager
async def open_graph(
    graph_id: str,
    config: Mapping[str, Any],
    *,
    access: AccessContext,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    context: Any = None,
) -> AsyncIterator[Pregel[Any, Any, Any, Any]]:
    """A copy of the graph bound to the checkpointer and store, for one use; a factory's resources are freed after.

    `config` is what a factory sees; `context` reaches it only for `threads.create_run`. Raises NotAGraph, KeyError
    for an unregistered id, or whatever a factory raises.
    """
    loaded = load_all()[graph_id]
    if isinstance(loaded.source, Pregel):
        yield _bound(loaded.source, graph_id, checkpointer, store)
        return
    user = config.get("configurable", {}).get("langgraph_auth_user")
    runtime = _runtime(access, store or InMemoryStore(), context, user)
    made = _call(loaded.source, _factory_config(config, access), runtime)
    if inspect.isawaitable(made):
        made = await made
    async with _entered(made) as graph:
        yield _bound(_compiled(graph), graph_id, checkpointer, store)


def _bound(
    graph: Pregel[Any, Any, Any, Any],
    graph_id: str,
    checkpointer: BaseCheckpointSaver[Any] | None,
    store: BaseStore | None,
) -> Pregel[Any, Any, Any, Any]:
    name = graph_id if graph.name in ("", DEFAULT_NAME) else graph.name
    return graph.copy({"checkpointer": checkpointer, "store": store, "name": name})


def _compiled(graph: Any) -> Pregel[Any, Any, Any, Any]:
    if isinstance(graph, StateGraph):
        return graph.compile()
    if not isinstance(graph, Pregel):
        raise NotAGraph(f"The graph factory returned {type(graph).__name__}, not a graph")
    return graph


@asynccontextmanager
async def _entered(made: Any) -> AsyncIterator[Any]:
    if isinstance(made, Pregel | StateGraph):
        yield made
    elif isinstance(made, AbstractAsyncContextManager):
        async with made as graph:
            yield graph
    elif isinstance(made, AbstractContextManager):
        with made as graph:
            yield graph
    else:
        yield made


def _runtime(access: AccessContext, store: BaseStore, context: Any, user: Any) -> Any:
    if access == "threads.create_run":
        return _ExecutionRuntime(access_context=access, user=user, store=store, context=context)
    return _ReadRuntime(access_context=access, user=user, store=store)


def _factory_config(config: Mapping[str, Any], access: AccessContext) -> dict[str, Any]:
    """The config a factory sees, which also says whether the graph will be executed."""
    told = {**config.get("configurable", {}), "__is_for_execution__": access == "threads.create_run"}
    return {**config, "configurable": told}


def _call(factory: Factory, config: dict[str, Any], runtime: Any) -> Any:
    arguments: dict[str, Any] = {}
    if factory.config_keyword:
        arguments[factory.config_keyword] = config
    if factory.runtime_keyword:
        arguments[factory.runtime_keyword] = runtime
    return factory.function(**arguments)


# --- loading ----------------------------------------------------------------------------------------------------------


def load(entry: GraphEntry) -> LoadedGraph:
    """Import one graph. Raises GraphLoadError, or whatever its module raises."""
    module = _module(entry)
    if not entry.symbol:
        return LoadedGraph(entry, _source(entry, _only_graph(entry, module)), module)
    try:
        found = getattr(module, entry.symbol)
    except AttributeError:
        raise GraphLoadError(
            f"Graph '{entry.graph_id}': {entry.path} has no '{entry.symbol}'; it has {_candidates(module)}."
        ) from None
    return LoadedGraph(entry, _source(entry, found), module)


def _source(entry: GraphEntry, found: Any) -> Pregel[Any, Any, Any, Any] | Factory:
    if isinstance(found, Pregel):
        return found
    if isinstance(found, StateGraph):
        return found.compile()
    if callable(found):
        return _factory(entry, found)
    raise GraphLoadError(
        f"Graph '{entry.graph_id}': {entry.symbol} is a {type(found).__name__}, not a graph or a function making one."
    )


def _module(entry: GraphEntry) -> ModuleType:
    if "/" not in entry.path:
        return importlib.import_module(entry.path)
    path = (project().root / entry.path).resolve()
    if not path.is_file():
        raise GraphLoadError(f"Graph '{entry.graph_id}': {path} does not exist.")
    # Each entry gets a module of its own, so that one file listed twice is two graphs.
    return import_file(f"weft_graph_{entry.graph_id}_{path.stem}", path)


def _candidates(module: ModuleType) -> str:
    names = _graphs_in(module)
    return ", ".join(names) if names else "no graph"


def _graphs_in(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Pregel | StateGraph)]


def _only_graph(entry: GraphEntry, module: ModuleType) -> Any:
    """What a file that was found rather than named stands for: its `graph`, or the one graph it has."""
    names = _graphs_in(module)
    if hasattr(module, "graph"):
        return module.graph
    if len(names) != 1:
        raise GraphLoadError(f"{entry.path} must have one graph, or call it 'graph'; it has {_candidates(module)}.")
    return getattr(module, names[0])


def _factory(entry: GraphEntry, function: Callable[..., Any]) -> Factory:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) > 2:
        raise GraphLoadError(f"Graph '{entry.graph_id}': a factory takes at most a config and a runtime.")
    hints = _hints(function)
    runtime = [p.name for p in parameters if _is_runtime(hints.get(p.name, p.annotation))]
    rest = [p.name for p in parameters if p.name not in runtime]
    if len(runtime) > 1 or len(rest) > 1:
        raise GraphLoadError(f"Graph '{entry.graph_id}': of a factory's two parameters one must be a ServerRuntime.")
    return Factory(function, rest[0] if rest else None, runtime[0] if runtime else None)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        return {}


def _is_runtime(annotation: Any) -> bool:
    """ServerRuntime itself, ServerRuntime[Ctx], Annotated[ServerRuntime, ...] or any of them as text."""
    if isinstance(annotation, str):
        return "ServerRuntime" in annotation
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin = typing.get_origin(annotation)
    return annotation is ServerRuntime or origin is ServerRuntime or annotation in (_ExecutionRuntime, _ReadRuntime)
