"""What a hundred browsers that look at the dashboard cost the server while nothing happens."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from tests.conftest import LiveServer
from tests.console.test_live import connection, told

BROWSERS = 100
SECONDS = 10.0
SHARE = 0.1  # of a core


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_hundred_idle_browsers_cost_less_than_a_tenth_of_a_core(
    console: LiveServer, session_keys: dict[str, str]
) -> None:
    pid = console.processes["web"].pid
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connection(console, session_keys["viewer"])) for _ in range(BROWSERS)
        ]
        for socket in sockets:
            await socket.send('{"subscribe": ["dashboard", "overview"]}')
        await asyncio.gather(*(told(socket, "dashboard") for socket in sockets))
        await asyncio.sleep(1)
        before = cpu_seconds(pid)
        await asyncio.sleep(SECONDS)
        share = (cpu_seconds(pid) - before) / SECONDS
    assert share < SHARE, f"{share:.1%} of a core"
