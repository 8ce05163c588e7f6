"""The OpenAPI document and the page that shows it: complete, valid, true to the contract, nothing from another host."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from assistants.serializers import AssistantBody, AssistantPatchBody, AssistantSearchBody
from config.project import project
from config.rest import check
from runs.serializers import CancelRunsBody, StatefulRunBody, StatelessRunBody
from threads.serializers import StateUpdateBody, ThreadBody, ThreadSearchBody

NOT_IN_IT = {
    "/mcp/",
    "/a2a/{assistant_id}/",
    "/a2a/{assistant_id}/.well-known/agent.json",
    "/",
    "/docs",
    "/openapi.json",
}
RUN = (
    "after_seconds assistant_id checkpoint_during command config context durability feedback_keys input metadata"
    " on_disconnect stream_mode stream_resumable stream_subgraphs webhook"
)
ON_THREAD = f"{RUN} checkpoint if_not_exists interrupt_after interrupt_before multitask_strategy"
ALONE = f"{RUN} on_completion"
CRON = (
    "config context durability enabled end_time input interrupt_after interrupt_before metadata schedule stream_mode"
    " stream_resumable stream_subgraphs timezone webhook"
)
# Route to the names its body must know. Source: contract/openapi-facts.json.
CONTRACT = {
    "POST /assistants": "assistant_id config context description graph_id if_exists metadata name",
    "POST /assistants/search": "graph_id limit metadata name offset select sort_by sort_order",
    "POST /assistants/count": "graph_id metadata name",
    "GET /assistants/{assistant_id}": "",
    "DELETE /assistants/{assistant_id}": "",
    "PATCH /assistants/{assistant_id}": "config context description graph_id metadata name",
    "GET /assistants/{assistant_id}/graph": "",
    "GET /assistants/{assistant_id}/subgraphs": "",
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": "",
    "GET /assistants/{assistant_id}/schemas": "",
    "POST /assistants/{assistant_id}/versions": "limit metadata offset",
    "POST /assistants/{assistant_id}/latest": "version",
    "POST /threads": "if_exists metadata supersteps thread_id ttl",
    "POST /threads/search": "extract ids limit metadata offset select sort_by sort_order status values",
    "POST /threads/count": "metadata status values",
    "POST /threads/prune": "strategy thread_ids",
    "GET /threads/{thread_id}/storage": "",
    "GET /threads/{thread_id}/state": "",
    "POST /threads/{thread_id}/state": "as_node checkpoint values",
    "GET /threads/{thread_id}/state/{checkpoint_id}": "",
    "POST /threads/{thread_id}/state/checkpoint": "checkpoint subgraphs",
    "GET /threads/{thread_id}/history": "",
    "POST /threads/{thread_id}/history": "before checkpoint limit metadata",
    "POST /threads/{thread_id}/copy": "",
    "GET /threads/{thread_id}": "",
    "DELETE /threads/{thread_id}": "",
    "PATCH /threads/{thread_id}": "metadata ttl",
    "GET /threads/{thread_id}/stream": "",
    "POST /threads/{thread_id}/stream/events": "channels depth namespaces since",
    "POST /threads/{thread_id}/commands": "id method params",
    "GET /threads/{thread_id}/runs": "",
    "POST /threads/{thread_id}/runs": ON_THREAD,
    "POST /threads/{thread_id}/runs/stream": ON_THREAD,
    "POST /threads/{thread_id}/runs/wait": ON_THREAD,
    "GET /threads/{thread_id}/runs/{run_id}": "",
    "DELETE /threads/{thread_id}/runs/{run_id}": "",
    "GET /threads/{thread_id}/runs/{run_id}/join": "",
    "GET /threads/{thread_id}/runs/{run_id}/stream": "",
    "POST /threads/{thread_id}/runs/{run_id}/cancel": "",
    "POST /runs/stream": ALONE,
    "POST /runs/cancel": "run_ids status thread_id",
    "POST /runs/wait": ALONE,
    "POST /runs": ALONE,
    "POST /runs/batch": ALONE,
    "POST /threads/{thread_id}/runs/crons": f"{CRON} assistant_id multitask_strategy",
    "POST /runs/crons": f"{CRON} assistant_id on_run_completed",
    "POST /runs/crons/search": "assistant_id enabled limit metadata offset select sort_by sort_order thread_id",
    "POST /runs/crons/count": "assistant_id metadata thread_id",
    "GET /runs/crons/{cron_id}": "",
    "PATCH /runs/crons/{cron_id}": f"{CRON} on_run_completed",
    "DELETE /runs/crons/{cron_id}": "",
    "PUT /store/items": "index key namespace ttl value",
    "DELETE /store/items": "key namespace",
    "GET /store/items": "",
    "POST /store/items/search": "filter limit namespace_prefix offset query refresh_ttl",
    "POST /store/namespaces": "limit max_depth offset prefix suffix",
    "POST /a2a/{assistant_id}": "",
    "POST /mcp/": "",
    "GET /mcp/": "",
    "DELETE /mcp/": "",
    "GET /info": "",
    "GET /ok": "",
    "GET /metrics": "",
}
NOT_YET = {
    "POST /mcp/",
    "GET /mcp/",
    "DELETE /mcp/",
}
QUERY = {
    "GET /store/items": {"namespace", "key", "refresh_ttl"},
    "DELETE /assistants/{assistant_id}": {"delete_threads"},
    "GET /assistants/{assistant_id}/graph": {"xray"},
    "GET /assistants/{assistant_id}/subgraphs": {"recurse"},
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": {"recurse"},
    "GET /threads/{thread_id}": {"include"},
    "GET /threads/{thread_id}/state": {"subgraphs"},
    "GET /threads/{thread_id}/state/{checkpoint_id}": {"subgraphs"},
    "GET /threads/{thread_id}/history": {"limit", "before"},
    "GET /threads/{thread_id}/runs": {"limit", "offset", "status", "select"},
    "GET /threads/{thread_id}/runs/{run_id}/join": {"cancel_on_disconnect"},
    "GET /threads/{thread_id}/runs/{run_id}/stream": {"Last-Event-ID", "stream_mode", "cancel_on_disconnect"},
    "POST /threads/{thread_id}/runs/{run_id}/cancel": {"wait", "action"},
    "GET /runs/{run_id}/stream": {"Last-Event-ID", "stream_mode", "cancel_on_disconnect"},
    "POST /runs/cancel": {"action"},
    "GET /ok": {"check_db"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = Client().get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/vnd.oai.openapi+json"
    found: dict[str, Any] = json.loads(response.content)
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{m.upper()} {path}": op for path, item in document["paths"].items() for m, op in item.items()}


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema or "items" in schema:
        schema = schema.get("items") or document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def body_of(document: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    if "requestBody" not in operation:
        return set()
    return set(resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])["properties"])


def routed(patterns: list[Any], start: str = "/") -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        path = start + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLResolver) and not path.startswith("/admin"):
            found |= routed(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            found.add(path)
    return found


def test_the_document_is_valid_and_made_without_a_warning():
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=io.StringIO())


def test_every_route_is_in_the_document(document):
    assert set(document["paths"]) == routed(get_resolver().url_patterns) - NOT_IN_IT


def test_every_route_of_the_contract_is_there(document):
    assert set(CONTRACT) - set(operations(document)) == NOT_YET


def test_every_name_the_contract_knows_in_a_body_is_known(document):
    found = operations(document)
    missing = {
        route: set(names.split()) - body_of(document, found[route])
        for route, names in CONTRACT.items()
        if route not in NOT_YET
    }
    assert not {route: names for route, names in missing.items() if names}


def test_every_parameter_of_the_contract_is_known(document):
    found = operations(document)
    for route, names in QUERY.items():
        assert names <= {p["name"] for p in found[route].get("parameters", []) if p["in"] != "path"}, route


def test_every_parameter_in_a_path_is_described(document):
    for route, operation in operations(document).items():
        in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", route)), route


def test_operations_have_names_headings_and_titles_of_their_own(document):
    found = operations(document)
    assert len({op["operationId"] for op in found.values()}) == len(found)
    assert {tag["name"] for tag in document["tags"]} == {tag for op in found.values() for tag in op["tags"]}
    for route, operation in found.items():
        assert operation["summary"], route
        assert all(answer["description"] for answer in operation["responses"].values()), route


def test_headings_follow_the_path(document):
    found = operations(document)
    assert found["POST /threads/{thread_id}/runs/stream"]["tags"] == ["Thread Runs"]
    assert found["POST /threads/search"]["tags"] == ["Threads"]
    assert found["POST /runs/wait"]["tags"] == ["Stateless Runs"]
    assert found["GET /ok"]["tags"] == ["System"]


def test_errors_have_the_shape_every_client_expects(document):
    error = {"$ref": "#/components/schemas/ErrorResponse"}
    assert document["components"]["schemas"]["ErrorResponse"]["required"] == ["detail"]
    for route, operation in operations(document).items():
        answers = operation["responses"]
        assert operation["tags"] == ["System"] or {"404", "422"} <= set(answers), route
        for status in {"404", "409", "422"} & set(answers):
            assert answers[status]["content"]["application/json"]["schema"] == error, route


def test_streams_are_described_as_server_sent_events(document):
    for route, operation in operations(document).items():
        if route.endswith("/stream"):
            assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"], route


def test_graph_ids_are_the_registered_ones(document):
    schemas = document["components"]["schemas"]
    for name in ("Assistant", "AssistantCreate"):
        assert schemas[name]["properties"]["graph_id"]["enum"] == list(project().graphs)


def test_no_schema_is_without_meaning(document):
    text = json.dumps(document)
    assert "x-spec-enum-id" not in text
    assert '"oneOf": [{}' not in text


def test_examples_are_bodies_that_pass(document):
    kinds = {
        "AssistantCreate": AssistantBody,
        "AssistantPatch": AssistantPatchBody,
        "AssistantSearchRequest": AssistantSearchBody,
        "ThreadCreate": ThreadBody,
        "ThreadSearchRequest": ThreadSearchBody,
        "ThreadStateUpdate": StateUpdateBody,
        "RunCreateStateful": StatefulRunBody,
        "RunCreateStateless": StatelessRunBody,
        "RunsCancel": CancelRunsBody,
    }
    for name, kind in kinds.items():
        example = document["components"]["schemas"][name]["example"]
        assert check(example, kind).keys() == example.keys(), name


def test_docs_load_everything_from_this_server():
    response = Client().get("/docs")
    page = response.content.decode()
    assert response.headers["Content-Type"].startswith("text/html")
    assert "openapi.json" in page
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/static/"), asset
        assert Path(str(finders.find(asset.removeprefix("/static/")))).is_file(), asset
    assert not re.search(r"https?://", page)
