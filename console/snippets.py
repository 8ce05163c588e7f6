"""A run as the request that would start it again: for curl, Python and JavaScript. Holds nothing the server added."""

import json
from typing import Any

from runs.models import Run

SERVER_KEYS = {"run_id", "thread_id", "graph_id", "assistant_id", "user_id"}
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


def snippets(run: Run, base: str) -> dict[str, str]:
    """Language to text; `base` is this server's address."""
    body, thread = body_of(run), str(run.thread_id)
    text = json.dumps(body, indent=2, ensure_ascii=False)
    arguments = {name: value for name, value in body.items() if name != "assistant_id"}
    quoted = text.replace("'", "'\\''")
    ids = f"{thread!r}, {body['assistant_id']!r}"
    python = ",\n        ".join(f"{name}={value!r}" for name, value in arguments.items())
    script = json.dumps(arguments, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return {
        "curl": f"curl -N {base}/threads/{thread}/runs/stream \\\n  -H 'Content-Type: application/json' -d '{quoted}'",
        "Python": (
            "from langgraph_sdk import get_client\n\n"
            f"client = get_client(url={base!r})\n"
            f"async for part in client.runs.stream(\n        {ids},\n        {python}):\n"
            "    print(part.event, part.data)"
        ),
        "JavaScript": (
            'import { Client } from "@langchain/langgraph-sdk";\n\n'
            f"const client = new Client({{ apiUrl: {json.dumps(base)} }});\n"
            f"const parts = client.runs.stream({json.dumps(thread)}, {json.dumps(body['assistant_id'])}, {script});\n"
            "for await (const part of parts) console.log(part.event, part.data);"
        ),
    }
