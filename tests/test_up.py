"""`manage.py up` as a person meets it: real processes, its own embedded servers, and every way to end it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from config.processes import Program
from config.supervisor import HEALTHY_SECONDS, LONGEST_PAUSE, Child
from tests.conftest import ROOT, free_port

START_SECONDS = 90.0
GRAPH = """
from langgraph.graph import MessagesState, StateGraph
graph = StateGraph(MessagesState).add_node("say", lambda state: {}).set_entry_point("say")
"""
BROKEN = """
def compute():
    return {}["nothing here"]

graph = compute()
"""
GIVEN = (
    "DATABASE_URI",
    "POSTGRES_URI",
    "REDIS_URI",
    "REDIS_URI_CUSTOM",
    "REDIS_KEY_PREFIX",
    "SECRET_KEY",
    "WEFT_CONFIG",
)


def environment(state: Path, **given: str) -> dict[str, str]:
    """The environment of somebody who has set nothing but what is given."""
    kept = {name: value for name, value in os.environ.items() if name not in GIVEN}
    return {**kept, "WEFT_STATE_DIR": str(state), **given}


def project(folder: Path, code: str) -> Path:
    """A langgraph.json with one graph."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.py").write_text(code)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"agent": "./agent.py:graph"}}))
    return folder / "langgraph.json"


def up(state: Path, *options: str, **given: str) -> subprocess.CompletedProcess[str]:
    """`up` where it is expected to end by itself; as the Makefile starts it, which is quicker than by manage.py."""
    return subprocess.run(
        [sys.executable, "-m", "config.up", *options],
        cwd=ROOT,
        env=environment(state, **given),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


class Running:
    """An `up` with its own servers, started again whenever a test finds it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        self.config = project(folder / "project", GRAPH)
        self.process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> subprocess.Popen[bytes]:
        """Start it if it does not run; returns once the banner is out."""
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "manage.py", "up", f"--port={self.port}", f"--config={self.config}"]
            with (self.folder / "log").open("wb") as log:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, env=environment(self.state), stdout=log, stderr=log, process_group=0
                )
            self.wait_for("Ctrl-C stops everything")
            self.wait_for_part("beat")
        return self.process

    @property
    def log(self) -> str:
        """What it has printed since its last start."""
        return (self.folder / "log").read_text()

    def wait_for(self, text: str) -> None:
        """Return when the log holds `text`."""
        wait_until(lambda: text in self.log or self.ended(), lambda: self.log)
        assert text in self.log, self.log

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def part(self, name: str) -> int:
        """The pid of a direct child whose command line holds `name`, or 0."""
        assert self.process
        for pid, parent, command in process_table():
            if parent == self.process.pid and name in command:
                return pid
        return 0

    def wait_for_part(self, name: str) -> int:
        """The pid of the child once there is one."""
        wait_until(lambda: self.part(name) > 0, lambda: self.log)
        return self.part(name)

    def tree(self) -> set[int]:
        """The pids of everything below it."""
        assert self.process
        found = {self.process.pid}
        table = process_table()
        while more := {pid for pid, parent, _ in table if parent in found} - found:
            found |= more
        return found - {self.process.pid}


def process_table() -> list[tuple[int, int, str]]:
    """Pid, parent and command of every process but the dead ones nobody has buried yet."""
    answer = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 3) for line in answer.stdout.splitlines()]
    return [(int(row[0]), int(row[1]), row[-1]) for row in rows if not row[2].startswith("Z")]


def living(pids: set[int]) -> set[int]:
    return pids & {pid for pid, _, _ in process_table()}


def wait_until(condition: Callable[[], bool], explain: Callable[[], object], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One state directory for the module: the first start sets it up, later ones are warm."""
    running = Running(tmp_path_factory.mktemp("up"))
    yield running
    if running.process and running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)


@pytest.fixture
def running(shared: Running) -> Running:
    """A running `up`."""
    shared.ensure()
    return shared


def test_the_first_start_says_where_everything_is_and_the_login_once(running):
    url = f"http://127.0.0.1:{running.port}"
    assert httpx.get(f"{url}/ok").json()["ok"] is True
    for line in (f"API      {url}\n", f"docs     {url}/docs\n", f"admin    {url}/admin/\n"):
        assert line in running.log
    assert re.search(r"login    admin / \S{16}   \(shown this once\)", running.log)
    assert "\x1b[" not in running.log
    assert (running.state / "secret_key").stat().st_mode & 0o077 == 0


def test_a_killed_worker_is_started_again_and_the_log_says_so(running):
    worker = running.wait_for_part("manage.py worker")
    os.kill(worker, signal.SIGKILL)
    running.wait_for("worker-1 | was ended by SIGKILL; starts again in 0.5 s")
    wait_until(lambda: running.part("manage.py worker") not in (0, worker), lambda: running.log, seconds=10)


def test_a_taken_port_names_its_holder_and_the_way_out(running, tmp_path):
    answer = up(tmp_path, f"--port={running.port}")
    assert answer.returncode == 1
    assert re.fullmatch(
        rf"Port {running.port} is taken by pid {running.part('manage.py web')} \(.*manage.py web.*\): "
        r"choose another with --port\.\n",
        answer.stderr,
    )


def test_a_second_start_in_the_same_directory_is_refused(running):
    answer = up(running.state, f"--port={free_port()}")
    assert answer.returncode == 1
    assert f"already runs from {running.state} (pid {running.process.pid})" in answer.stderr


def test_killed_hard_it_leaves_nothing_behind_and_finds_its_data_again(running):
    if sys.platform != "linux":
        pytest.skip("only Linux tells children that their parent is gone")
    below = running.tree()
    assert len(below) > 5
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not living(below), lambda: living(below), seconds=15)
    running.ensure()
    assert "login    admin   (forgotten?" in running.log


def test_sigterm_stops_everything_in_order_and_exits_0(running):
    below = running.tree()
    running.process.terminate()
    assert running.process.wait(60) == 0
    assert running.log.rstrip().endswith("Stopped.")
    assert not living(below)
    assert not (running.state / "environment").exists()


def test_ctrl_c_while_starting_stops_everything(shared):
    if not shared.ended():
        shared.process.terminate()
        shared.process.wait(60)
    with (shared.folder / "log").open("wb") as log:
        shared.process = subprocess.Popen(
            [sys.executable, "-m", "config.up", f"--port={shared.port}", f"--config={shared.config}"],
            cwd=ROOT,
            env=environment(shared.state),
            stdout=log,
            stderr=log,
            process_group=0,
        )
    shared.wait_for("Importing the graphs")
    below = shared.tree()
    shared.process.send_signal(signal.SIGINT)
    assert shared.process.wait(30) == 0
    assert not living(below)


def test_a_graph_that_cannot_be_imported_shows_its_own_lines_first(tmp_path):
    config = project(tmp_path, BROKEN)
    given = {name: os.environ[name] for name in ("DATABASE_URI", "REDIS_URI")}
    answer = up(tmp_path / "state", f"--port={free_port()}", f"--config={config}", **given)
    assert answer.returncode == 1
    lines = answer.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{tmp_path}/agent.py", line 5, in <module>'
    assert str(ROOT) not in "\n".join(lines)
    assert lines[-2:] == [
        "KeyError: 'nothing here'",
        "Graph 'agent' (./agent.py) cannot be imported: KeyError: 'nothing here'",
    ]


def test_a_missing_langgraph_json_is_one_sentence(tmp_path):
    given = {name: os.environ[name] for name in ("DATABASE_URI", "REDIS_URI")}
    answer = up(tmp_path / "state", f"--port={free_port()}", f"--config={tmp_path}/none.json", **given)
    assert (answer.returncode, answer.stderr) == (
        1,
        f"{tmp_path}/none.json does not exist; name another with --config.\n",
    )


def test_a_redis_that_does_not_answer_is_one_sentence(tmp_path):
    port = free_port()
    answer = up(tmp_path, f"--port={free_port()}", REDIS_URI=f"redis://:hidden@127.0.0.1:{port}/0")
    assert answer.returncode == 1
    assert re.fullmatch(rf"Redis at 127\.0\.0\.1:{port} \(REDIS_URI\) does not answer: .*\n", answer.stderr)
    assert "hidden" not in answer.stdout + answer.stderr


def test_a_postgres_that_does_not_answer_is_one_sentence(tmp_path):
    port = free_port()
    given = {"DATABASE_URI": f"postgresql://u:hidden@127.0.0.1:{port}/weft", "REDIS_URI": os.environ["REDIS_URI"]}
    answer = up(tmp_path, f"--port={free_port()}", **given)
    assert answer.returncode == 1
    assert answer.stderr == f"PostgreSQL at 127.0.0.1:{port} (DATABASE_URI) does not answer: Connection refused\n"


@pytest.mark.parametrize("part", ["web", "worker", "beat"])
def test_each_part_alone_says_when_postgres_does_not_answer(part, tmp_path):
    nowhere = f"postgresql://127.0.0.1:{free_port()}/weft"
    answer = alone(tmp_path, part, *(["--port=0"] if part == "web" else []), DATABASE_URI=nowhere)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert "(DATABASE_URI) does not answer" in answer.stderr


@pytest.mark.parametrize("redis", ["there", "gone"])
def test_a_worker_that_cannot_import_a_graph_ends_with_the_sentence(redis, tmp_path):
    given = {"REDIS_URI": f"redis://127.0.0.1:{free_port()}/0"} if redis == "gone" else {}
    answer = alone(tmp_path, "worker", WEFT_CONFIG=str(project(tmp_path, BROKEN)), **given)
    assert answer.returncode == 1
    lines = answer.stderr.splitlines()
    assert lines[-1] == "The worker does not start: KeyError: 'nothing here'"
    assert any(line.startswith(f'  File "{tmp_path}/agent.py", line 5') for line in lines)


def alone(folder, *arguments, **environment):
    """What a part says that ends by itself."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "WEFT_STATE_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_pauses_between_restarts_double_up_to_a_bound():
    child = Child(Program("part", ("true",)), show=print)
    pauses = []
    for child.failures in range(1, 10):
        pauses.append(child.pause())
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert max(pauses) == LONGEST_PAUSE < HEALTHY_SECONDS
