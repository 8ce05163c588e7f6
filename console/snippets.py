"""A run or a cron as the request that would make it again: for curl, Python and JavaScript. Holds nothing the server
added.
"""

import json
import re
from typing import Any

from config import encryption
from crons.models import CatchUp, Cron, Overlap
from runs.models import Run

SERVER_KEYS = {"run_id", "thread_id", "graph_id", "assistant_id", "user_id"}
# What the clients' methods for crons have no argument for: with one of these the request is written out.
OURS = {"overlap", "catch_up", "pause_after_failures"}
ASKED = ("stream_mode", "interrupt_before", "interrupt_after", "webhook", "durability")


def body_of(run: Run) -> dict[str, Any]:
    """The request's body, as far as the row remembers it."""
    kwargs = run.kwargs
    configurable = {
        key: value
        for key, value in kwargs["config"].get("configurable", {}).items()
        if key not in SERVER_KEYS and not key.startswith(("__", "langgraph_"))
    }
    body = {"assistant_id": str(run.assistant_id), "input": kwargs.get("input"), "command": kwargs.get("command")}
    context = kwargs.get("context")
    body |= {"context": context} if context else {"config": {"configurable": configurable}} if configurable else {}
    body |= {name: kwargs[name] for name in ASKED if kwargs.get(name) is not None}
    return {name: value for name, value in body.items() if value is not None}


def snippets(body: dict[str, Any], thread: str | None, base: str, *, key: bool = False) -> dict[str, str]:
    """Language to text: a request that streams a run with the body, on a thread or none, from the server at `base`.

    `key` says that the server asks for one: curl is given it by the shell, the SDKs find it themselves.
    """
    text = json.dumps(body, indent=2, ensure_ascii=False)
    arguments = {name: value for name, value in body.items() if name != "assistant_id"}
    python = ",\n        ".join(f"{name}={value!r}" for name, value in arguments.items())
    named = {_camel(name): value for name, value in arguments.items()}
    script = json.dumps(named, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    assistant = body["assistant_id"]
    return {
        "curl": _curl(f"-N {base}{path_of(thread)}", text, key=key),
        "Python": (
            "from langgraph_sdk import get_client\n\n"
            f"client = get_client(url={base!r})\n"
            f"async for part in client.runs.stream(\n        {thread!r}, {assistant!r},\n        {python}):\n"
            "    print(part.event, part.data)"
        ),
        "JavaScript": (
            'import { Client } from "@langchain/langgraph-sdk";\n\n'
            f"const client = new Client({{ apiUrl: {json.dumps(base)} }});\n"
            f"const parts = client.runs.stream({json.dumps(thread)}, {json.dumps(assistant)}, {script});\n"
            "for await (const part of parts) console.log(part.event, part.data);"
        ),
    }


def path_of(thread: str | None) -> str:
    """Where a run is created and streamed."""
    return f"/threads/{thread}/runs/stream" if thread else "/runs/stream"


def cron_body_of(cron: Cron) -> dict[str, Any]:
    """The body that would make the cron again."""
    payload = {key: value for key, value in cron.payload.items() if key != encryption.MARKER and value is not None}
    config = dict(payload.pop("config", {}))
    configurable = {key: value for key, value in config.pop("configurable", {}).items() if key != "cron_id"}
    config |= {"configurable": configurable} if configurable else {}
    end = cron.end_time.isoformat() if cron.end_time else None
    said: dict[str, Any] = {
        "assistant_id": str(cron.assistant_id),
        "schedule": cron.schedule,
        "timezone": cron.timezone,
    }
    said |= {"end_time": end, "metadata": cron.metadata or None, "config": config or None}
    said |= {"on_run_completed": cron.on_run_completed if cron.on_run_completed != "delete" else None}
    said |= {"overlap": cron.overlap if cron.overlap != Overlap.ALLOW else None}
    said |= {"catch_up": cron.catch_up if cron.catch_up != CatchUp.ONE else None}
    said |= {"pause_after_failures": cron.pause_after_failures, "enabled": None}
    return {name: value for name, value in {**payload, **said}.items() if value is not None}


def cron_snippets(cron: Cron, base: str) -> dict[str, str]:
    """Language to text; `base` is this server's address."""
    body, thread = cron_body_of(cron), cron.thread_id
    path = f"/threads/{thread}/runs/crons" if thread else "/runs/crons"
    text = json.dumps(body, indent=2, ensure_ascii=False)
    imports = "from datetime import datetime\n\n" if "end_time" in body and not body.keys() & OURS else ""
    return {
        "curl": _curl(f"{base}{path}", text),
        "Python": (
            f"{imports}from langgraph_sdk import get_client\n\n"
            f"client = get_client(url={base!r})\n"
            f"cron = await {_python_call(body, path, thread)}\n"
            "print(cron)"
        ),
        "JavaScript": _javascript(body, path, thread, base),
    }


def _curl(what: str, text: str, *, key: bool = False) -> str:
    quoted, shown = text.replace("'", "'\\''"), ' -H "x-api-key: $LANGGRAPH_API_KEY"' if key else ""
    return f"curl {what} \\\n  -H 'Content-Type: application/json'{shown} -d '{quoted}'"


def _python_call(body: dict[str, Any], path: str, thread: object) -> str:
    if body.keys() & OURS:
        return f"client.http.post({path!r}, json={body!r})"
    ids = [repr(str(thread))] if thread else []
    ids.append(repr(body["assistant_id"]))
    arguments = {name: repr(value) for name, value in body.items() if name != "assistant_id"}
    if "end_time" in body:
        arguments["end_time"] = f"datetime.fromisoformat({body['end_time']!r})"
    given = ",\n    ".join([", ".join(ids), *(f"{name}={value}" for name, value in arguments.items())])
    return f"client.crons.{'create_for_thread' if thread else 'create'}(\n    {given},\n)"


def _javascript(body: dict[str, Any], path: str, thread: object, base: str) -> str:
    if body.keys() & OURS:
        asked = json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        headers = '{ "Content-Type": "application/json" }'
        options = f'{{\n  method: "POST",\n  headers: {headers},\n  body: JSON.stringify({asked}),\n}}'
        return f"const answer = await fetch({json.dumps(base + path)}, {options});\nconsole.log(await answer.json());"
    arguments = {_camel(name): value for name, value in body.items() if name != "assistant_id"}
    ids = ", ".join(json.dumps(str(one)) for one in (thread, body["assistant_id"]) if one)
    return (
        'import { Client } from "@langchain/langgraph-sdk";\n\n'
        f"const client = new Client({{ apiUrl: {json.dumps(base)} }});\n"
        f"const cron = await client.crons.{'createForThread' if thread else 'create'}({ids}, "
        f"{json.dumps(arguments, indent=2, ensure_ascii=False)});\n"
        "console.log(cron);"
    )


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
