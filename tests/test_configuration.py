"""Every key of langgraph.json and every variable does something, or is named once at the start."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistants import graphs
from config import environment, keys, up
from config.document import ProjectError
from config.keys import KEYS, remarks
from config.project import project
from config.variables import PROTECTING, WITHOUT_EFFECT
from console import configuration
from tests.conftest import ROOT

GRAPHS = {"graphs": {"g": "./g.py:graph"}}
GRAPH = """
from langgraph.graph import MessagesState, StateGraph
{name} = StateGraph(MessagesState).add_node("say", lambda state: {{}}).set_entry_point("say")
"""


@pytest.fixture
def folder(tmp_path: Path, settings) -> Path:
    """A place for a langgraph.json, which the project is read from."""
    settings.LANGGRAPH_CONFIG_FILE = tmp_path / "langgraph.json"
    project.cache_clear()
    return tmp_path


def write(folder: Path, **sections: Any) -> None:
    (folder / "langgraph.json").write_text(json.dumps({**GRAPHS, **sections}))
    project.cache_clear()


def evaluate(expression: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The expression over settings, in a process of its own started in the folder."""
    code = f"from config import settings\nprint({expression})"
    kept = {name: value for name, value in os.environ.items() if name not in ("WEFT_CONFIG", "N_JOBS_PER_WORKER")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


# --- keys -------------------------------------------------------------------------------------------------------------


def paths(shape: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    for name, below in shape.items():
        if isinstance(below, dict):
            yield from paths(below, f"{where}{name}.")
        else:
            yield f"{where}{name}", below


def document_with(path: str) -> dict[str, Any]:
    value: Any = "x"
    for name in reversed(path.split(".")):
        value = {name: value}
    return {**GRAPHS, **value} if path != "graphs" else GRAPHS


@pytest.mark.parametrize(("path", "why"), [pair for pair in paths(KEYS) if pair[0] != "encryption.path"])
def test_a_key_is_silent_when_it_does_something_and_named_once_when_not(path, why):
    if path == "checkpointer.backend":
        return
    found = remarks(document_with(path))
    assert found == ([f"{path} has no effect here: {why}."] if why else [])


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("depndencies", "dependencies"),
        ("http.disable_thread", "disable_threads"),
        ("http.cors.allow_origin", "allow_origins"),
        ("http.configurable_headers.inclues", "includes"),
        ("store.ttl.default-ttl", "default_ttl"),
        ("checkpointer.serde.pickle_fallbak", "pickle_fallback"),
        ("webhooks.url.require_htps", "require_https"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(path, near):
    assert remarks(document_with(path)) == [f"langgraph.json has the unknown key '{path}': did you mean '{near}'?"]


def test_an_unknown_key_like_no_other_is_named():
    assert remarks({**GRAPHS, "zzz": 1}) == ["langgraph.json has the unknown key 'zzz'."]


@pytest.mark.parametrize(
    ("document", "wrong", "near"),
    [
        ({"grahps": {}}, "grahps", "graphs"),
        ({**GRAPHS, "auht": {"path": "./a.py:auth"}}, "auht", "auth"),
        ({**GRAPHS, "auth": {"pth": "./a.py:auth"}}, "auth.pth", "path"),
        ({**GRAPHS, "checkpointer": {"paht": "./a.py:saver"}}, "checkpointer.paht", "path"),
        ({**GRAPHS, "store": {"index": {"dim": 3}}}, "store.index.dim", "dims"),
        ({**GRAPHS, "http": {"enable_custom_routes_auth": True}}, "http.enable_custom_routes_auth", None),
        ({"graphs": {"g": {"pth": "./g.py:graph"}}}, "graphs.g.pth", "path"),
    ],
)
def test_a_typo_that_would_open_the_server_or_break_it_is_an_error(document, wrong, near):
    near = near or "enable_custom_route_auth"
    with pytest.raises(ProjectError, match=f"unknown key '{wrong}': did you mean '{near}'"):
        remarks(document)


def test_encryption_that_cannot_be_honoured_stops_the_start(folder):
    write(folder, encryption={"pth": "./e.py:encryption"})
    with pytest.raises(ProjectError, match="encryption"):
        project()


def test_another_backend_of_checkpoints_is_named():
    (found,) = remarks({**GRAPHS, "checkpointer": {"backend": "mongo"}})
    assert "checkpointer.backend" in found
    assert "mongo" in found


def test_javascript_graphs_are_named_and_the_others_served(folder):
    write(folder, graphs={"g": "./g.py:graph", "web": "./src/agent.ts:graph"})
    assert list(project().graphs) == ["g"]
    assert [remark for remark in project().remarks if "'web'" in remark]
    write(folder, graphs={"web": "./src/agent.ts:graph"})
    with pytest.raises(ProjectError, match="JavaScript"):
        project()


def test_the_nearest_key_is_found_whatever_its_case_and_dashes():
    assert keys.nearest("Mount-Prefix", {"mount_prefix": None}) == "mount_prefix"
    assert keys.nearest("quite something else", {"mount_prefix": None}) == ""


# --- variables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_variable_without_effect_is_named_once_when_it_is_set(name, folder, monkeypatch):
    monkeypatch.delitem(environment.readings, name, raising=False)
    write(folder)
    assert not [remark for remark in project().remarks if remark.startswith(f"{name} ")]
    monkeypatch.setenv(name, "7")
    project.cache_clear()
    assert len([remark for remark in project().remarks if remark.startswith(f"{name} ")]) == 1


@pytest.mark.parametrize("name", PROTECTING)
def test_a_variable_that_asks_for_protection_we_lack_stops_the_start(name, folder, monkeypatch):
    monkeypatch.delitem(environment.readings, name, raising=False)
    write(folder)
    monkeypatch.setenv(name, "something")
    with pytest.raises(environment.ConfigurationError, match=name):
        project()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("N_JOBS_PER_WORKER", "many", "N_JOBS_PER_WORKER must be a whole number, not 'many'."),
        ("BG_JOB_ISOLATED_LOOPS", "maybe", "BG_JOB_ISOLATED_LOOPS must be true or false, not 'maybe'."),
        ("BG_JOB_TIMEOUT_SECS", "-1", "BG_JOB_TIMEOUT_SECS must be a positive number, not '-1'."),
    ],
)
def test_a_variable_that_cannot_be_read_ends_the_start_with_a_sentence(name, text, says, tmp_path):
    answer = evaluate("0", tmp_path, **{name: text})
    assert (answer.returncode, answer.stderr) == (1, f"{says}\n")


@pytest.mark.parametrize(
    ("section", "variable"),
    [("store", "LANGGRAPH_STORE"), ("http", "LANGGRAPH_HTTP"), ("checkpointer", "LANGGRAPH_CHECKPOINTER")],
)
def test_the_variable_of_a_section_wins_over_the_file(section, variable, folder, monkeypatch):
    given = {"store": {"path": "./one.py:x"}, "http": {"app": "./one.py:x"}, "checkpointer": {"path": "./one.py:x"}}
    write(folder, **given)
    assert getattr(project(), section) == given[section]
    monkeypatch.setenv(variable, json.dumps({next(iter(given[section])): "./two.py:x"}))
    project.cache_clear()
    assert getattr(project(), section) == {next(iter(given[section])): "./two.py:x"}


def test_langserve_graphs_replaces_the_file(folder, monkeypatch):
    write(folder)
    monkeypatch.setenv("LANGSERVE_GRAPHS", json.dumps({"other": {"path": "package.agent:graph", "description": "D"}}))
    project.cache_clear()
    assert list(project().graphs) == ["other"]
    assert project().graphs["other"].description == "D"


def test_without_a_file_every_module_of_the_folder_is_a_graph(folder, monkeypatch):
    found = folder / "graphs"
    found.mkdir()
    (found / "one.py").write_text(GRAPH.format(name="graph"))
    (found / "two.py").write_text(GRAPH.format(name="anything"))
    monkeypatch.delenv("WEFT_CONFIG")
    monkeypatch.setenv("WEFT_GRAPHS_DIR", str(found))
    project.cache_clear()
    assert {graph_id: graphs.load(entry).name for graph_id, entry in project().graphs.items()} == {
        "one": "one",
        "two": "two",
    }
    (found / "three.py").write_text(GRAPH.format(name="a") + GRAPH.format(name="b"))
    project.cache_clear()
    with pytest.raises(ProjectError, match=r"three.py must have one graph, .* it has a, b"):
        graphs.load(project().graphs["three"])


# --- the env file and the settings ------------------------------------------------------------------------------------


def test_the_env_file_sets_settings_the_environment_does_not(tmp_path):
    (tmp_path / ".env").write_text("N_JOBS_PER_WORKER=3\nCORS_ALLOW_ORIGINS='https://a.example'\nRUN_THREADS=5\n")
    write(tmp_path, env=".env")
    answer = evaluate("settings.N_JOBS_PER_WORKER, settings.CORS_ALLOW_ORIGINS, settings.RUN_THREADS", tmp_path)
    assert answer.stdout == "3 ['https://a.example'] 5\n", answer.stderr
    answer = evaluate("settings.N_JOBS_PER_WORKER", tmp_path, N_JOBS_PER_WORKER="4")
    assert answer.stdout == "4\n"


def test_an_env_file_that_is_not_there_is_named(folder):
    write(folder, env=".env")
    assert project().remarks == (f"The env file {folder}/.env does not exist.",)


@pytest.mark.parametrize(
    ("given", "value"),
    [({}, "false"), ({"LANGSMITH_TRACING": "true"}, "true"), ({"LANGCHAIN_TRACING_V2": "true"}, None)],
)
def test_tracing_is_off_unless_one_of_its_variables_says_otherwise(given, value, tmp_path):
    names = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
    answer = evaluate("settings.os.environ.get('LANGSMITH_TRACING')", tmp_path, **{**dict.fromkeys(names, ""), **given})
    assert answer.stdout.strip() == str(value if value is not None else "")


# --- what a person is shown -------------------------------------------------------------------------------------------


def test_each_setting_is_shown_with_its_source_and_secrets_masked(folder, monkeypatch):
    hidden = "do-not-show-me"
    write(folder, webhooks={"headers": {"x": hidden}}, http={"mount_prefix": "/agents"})
    monkeypatch.setenv("LANGGRAPH_STORE", json.dumps({"ttl": {"default_ttl": 5}}))
    shown = {
        "SECRET_KEY": hidden,
        "WEBHOOK_SECRETS": hidden,
        "DATABASE_URI": f"postgresql://me:{hidden}@host/db",
        "REDIS_URI": f"redis://:{hidden}@host/0",
    }
    for name, text in shown.items():
        monkeypatch.setitem(environment.readings, name, environment.Reading(text, "environment"))
    monkeypatch.setitem(environment.readings, "RUN_THREADS", environment.Reading("32", "default"))
    found = {setting.name: (setting.value, setting.source) for setting in configuration.effective()}
    assert found["http.mount_prefix"] == ("/agents", "langgraph.json")
    assert found["store.ttl.default_ttl"] == ("5", "LANGGRAPH_STORE")
    assert found["DATABASE_URI"] == ("postgresql://me:***@host/db", "environment")
    assert found["REDIS_URI"] == ("redis://:***@host/0", "environment")
    assert "RUN_THREADS" not in found
    assert hidden not in str(found)
    assert ("RUN_THREADS", "32", "default") in {
        (setting.name, setting.value, setting.source) for setting in configuration.effective(defaults=True)
    }


def test_options_of_other_servers_are_accepted_where_they_mean_something(capsys):
    options = up._options(["--no-reload", "--no-browser", "--n-jobs-per-worker", "3", "--server-log-level", "DEBUG"])
    assert options.n_jobs_per_worker == 3
    for wrong in (["--tunnel"], ["--debug-port", "5678"], ["--n-jobs-per-worker", "-1"]):
        with pytest.raises(SystemExit, match="2"):
            up._options(wrong)
        assert wrong[0] in capsys.readouterr().err


def test_every_key_and_every_variable_is_documented():
    text = (ROOT / "docs/configuration.md").read_text()
    named = set(re.findall(r"`([\w$.]+)`", text))
    ends = {name.rpartition(".")[2] for name in named}
    missing = {path for path, _ in paths(KEYS) if path.rpartition(".")[2] not in ends and path != "encryption.path"}
    assert not missing
    settings_text = "".join((ROOT / f"config/{name}.py").read_text() for name in ("settings", "http_section"))
    read = set(re.findall(r'env_\w+\(\s*"([A-Z][A-Z0-9_]+)"', settings_text))
    assert not {*read, *WITHOUT_EFFECT, *PROTECTING} - named


def test_variables_without_effect_are_not_read_after_all():
    assert not (WITHOUT_EFFECT.keys() | PROTECTING.keys()) & environment.readings.keys()


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"mount_prefix": "agents"}, "must begin with '/'"),
        ({"mount_prefix": "/noauth/"}, "not be /noauth"),
        ({"mount_prefix": 5}, "must begin with '/'"),
        ({"cors": {"allow_origins": "*"}}, "allow_origins cannot be '*'"),
        ({"cors": {"allow_origin_regex": "("}}, "allow_origin_regex cannot be"),
        ({"cors": []}, None),
        ({"cors": {"allow_origin": ["*"]}}, None),
    ],
)
def test_an_http_section_that_cannot_be_used_ends_the_start_with_a_sentence(section, says, tmp_path):
    write(tmp_path, http=section)
    answer = evaluate("settings.CORS_CONFIG_OPTIONS", tmp_path)
    if says:
        assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
        assert says in answer.stderr
    else:
        assert (answer.returncode, answer.stdout) == (0, "{}\n")


def test_mount_prefix_and_cors_of_the_environment_win(tmp_path):
    write(tmp_path, http={"mount_prefix": "/a", "cors": {"max_age": 1}})
    shown = "settings.MOUNT_PREFIX, settings.STATIC_URL, settings.CORS_CONFIG_OPTIONS"
    assert evaluate(shown, tmp_path).stdout == "/a /a/static/ {'max_age': 1}\n"
    answer = evaluate(shown, tmp_path, MOUNT_PREFIX="/b/", CORS_CONFIG='{"allow_origins": ["https://c.example"]}')
    assert answer.stdout == "/b /b/static/ {'allow_origins': ['https://c.example']}\n"


def test_info_says_where_the_server_is(tmp_path):
    tenant = "8b184351-3358-5cdd-b03b-9a70de2251e5"
    answer = evaluate("settings.HOST['tenant_id'], settings.HOST['kind']", tmp_path, LANGSMITH_TENANT_ID=tenant)
    assert answer.stdout == f"{tenant} self-hosted\n"
    answer = evaluate("0", tmp_path, LANGSMITH_TENANT_ID="mine")
    assert (answer.returncode, answer.stderr) == (1, "LANGSMITH_TENANT_ID must be a UUID, not 'mine'.\n")
