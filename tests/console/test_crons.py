"""Crons for people: found, looked at, run, paused, given another timetable, deleted; and who may."""

import ast
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import AuditEntry
from assistants.models import Assistant
from console import attention, cron_calendar, dashboard
from console.snippets import cron_snippets
from crons.models import Cron, Firing, Outcome
from crons.wording import in_words
from runs.models import Run
from tests.conftest import LiveServer
from tests.console.conftest import in_server
from tests.console.watching import shoot
from threads.models import Thread

SignIn = Callable[[str], Client]
LIST = "/admin/crons/"
EVIL = "<script>evil</script>"
# Session, user, role, crons, which their latest firings are, these, their runs; and two of Django's permissions.
QUERIES = 9


def assistant(name: str = "reporter") -> Assistant:
    return Assistant.objects.create(graph_id="echo", name=name)


def new_cron(schedule: str = "0 9 * * *", **fields: Any) -> Cron:
    known = Assistant.objects.filter(name="reporter").first()
    cron = Cron(**{"schedule": schedule, "assistant": known or assistant(), **fields})
    cron.next_run_date = fields.get("next_run_date") or cron.following(timezone.now())
    cron.arrange()
    cron.save(force_insert=True)
    return cron


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def address_of(cron: Cron, verb: str = "") -> str:
    return f"{LIST}{cron.pk}/{verb}"


def edited(client: Client, cron: Cron, **given: str) -> Any:
    return client.post(address_of(cron, "edit/"), given)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("*/5 * * * *", "Every 5 minutes"),
        ("0 9 * * mon-fri", "At 09:00, Monday through Friday"),
        ("@weekly", "At 00:00, only on Sunday"),
        ("0 0 l * *", "At 00:00, on the last day of the month"),
        ("* * * * * */10", "Every 10 seconds"),
        ("0 9 * * * 30", "At 09:00:30"),
        ("0 9 * * 1 0 2030", "At 09:00, only on Monday, only in 2030"),
        # Either day is enough:
        ("0 0 1 * 5", "At 00:00, on day 1 of the month; also at 00:00, only on Friday"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_schedule_is_said_in_words_in_our_order_of_fields(schedule: str, words: str) -> None:
    assert in_words(schedule) == words


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_says_when_each_fires_what_came_of_it_and_why_it_does_not(sign_in: SignIn) -> None:
    now = timezone.now()
    named = new_cron("0 9 * * 1-5", timezone="Asia/Kathmandu", assistant=assistant(EVIL))
    failing = new_cron(enabled=False, failures=3, paused_at=now, thread=Thread.objects.create())
    new_cron(end_time=now - timedelta(days=1))
    new_cron(next_run_date=now - timedelta(minutes=5, seconds=20))
    run = Run.objects.create(thread=Thread.objects.create(), assistant_id=named.assistant_id, status="running")
    slot = now - timedelta(seconds=30)
    Firing.objects.create(cron=named, slot=slot - timedelta(days=1), outcome=Outcome.SKIPPED, detail="not the last")
    Firing.objects.create(cron=named, slot=slot, outcome=Outcome.FIRED, run_id=run.pk, created_at=slot)
    Firing.objects.create(cron=failing, slot=slot, outcome=Outcome.FIRED, run_status="error", ended_at=now)
    page = text_of(sign_in("viewer"), LIST)
    for text in (
        *("At 09:00, Monday through Friday", "0 9 * * 1-5", "Asia/Kathmandu", "09:00 +0545", "03:15 UTC"),
        *("&lt;script&gt;evil", "stateless", f"/admin/threads/{failing.thread_id}/", f"/admin/runs/{run.pk}/timeline/"),
        *('data-status="running"', 'data-status="error"', 'data-status="auto-paused"', "after 3 failures in a row"),
        *("its end has passed", 'data-status="late" title="5 min'),
    ):
        assert text in page, text
    assert EVIL not in page and "not the last" not in page and "skipped" not in page
    assert "/admin/crons/cron/" not in page, "rows are for admins"
    assert "/admin/crons/cron/" in text_of(sign_in("admin"), LIST)


def test_filters_leave_what_fits(sign_in: SignIn) -> None:
    now, client = timezone.now(), sign_in("viewer")
    made = {
        "active": new_cron("1 1 * * *", timezone="Europe/Rome"),
        "paused": new_cron(enabled=False),
        "auto-paused": new_cron(enabled=False, paused_at=now),
        "over": new_cron(end_time=now - timedelta(days=1)),
        "late": new_cron("2 2 * * *", assistant=assistant("other"), next_run_date=now - timedelta(hours=1)),
    }
    found = {
        query: {row.cron.pk for row in client.get(LIST + query).context["crons"]}
        for query in (
            *(f"?state={state}" for state in made),
            *("?state=nonsense", "?text=rome", "?text=2 2", f"?text={made['over'].pk!s}", "?text=%00othe"),
            *("?assistant=OTHER", f"?assistant={made['late'].assistant_id}", "?assistant=nobody"),
        )
    }
    ids = {state: cron.pk for state, cron in made.items()}
    for state in ("paused", "auto-paused", "over", "late"):
        assert found[f"?state={state}"] == {ids[state]}
    assert found["?state=active"] == {ids["active"], ids["late"]}
    assert found["?state=nonsense"] == set(ids.values())
    assert found["?text=rome"] == {ids["active"]}
    assert found[f"?text={ids['over']}"] == {ids["over"]}
    for query in ("?text=2 2", "?text=%00othe", "?assistant=OTHER", f"?assistant={made['late'].assistant_id}"):
        assert found[query] == {ids["late"]}
    assert not found["?assistant=nobody"]


def many_crons(count: int) -> list[Cron]:
    """With two firings each."""
    made = [
        Cron(
            schedule=f"{number % 60} {number % 24} * * *", assistant=assistant(f"a{number}"), created_at=timezone.now()
        )
        for number in range(count)
    ]
    for cron in made:
        cron.next_run_date = timezone.now() + timedelta(hours=1)
        cron.arrange()
    Cron.objects.bulk_create(made)
    Firing.objects.bulk_create(
        Firing(cron=cron, slot=timezone.now() - timedelta(days=days), outcome=Outcome.SKIPPED)
        for cron in made
        for days in (1, 2)
    )
    return made


def test_pages_cost_the_same_however_many_crons_there_are(sign_in: SignIn, django_assert_max_num_queries: Any) -> None:
    made, client = many_crons(1000), sign_in("viewer")
    with django_assert_max_num_queries(QUERIES):
        page = client.get(LIST)
    assert len(page.context["crons"]) == 50
    older = client.get(f"{LIST}{page.context['sheet'].older}").context["crons"]
    assert len(older) == 50
    assert not {row.cron.pk for row in older} & {row.cron.pk for row in page.context["crons"]}
    with django_assert_max_num_queries(QUERIES):
        assert client.get(f"{LIST}?text=a99").context["crons"]
    with django_assert_max_num_queries(QUERIES + 1):
        client.get(address_of(made[0]))


def test_what_needs_attention_and_an_id_lead_to_our_pages(sign_in: SignIn) -> None:
    cron = new_cron(enabled=False, paused_at=timezone.now())
    (need,) = (need for need in attention.needs(dashboard.look(timezone.now())[0]) if "cron" in need.text)
    assert need.url == f"{LIST}?state=auto-paused"
    client = sign_in("viewer")
    assert [row.cron for row in client.get(need.url).context["crons"]] == [cron]
    assert client.get(f"/admin/jump/?q={cron.pk}").headers["Location"] == address_of(cron)


# --- one --------------------------------------------------------------------------------------------------------------


def test_a_crons_page_shows_its_payload_its_dates_and_its_history_escaped(sign_in: SignIn) -> None:
    cron = new_cron("30 2 * * *", timezone="Asia/Kathmandu", payload={"input": {"text": EVIL}}, metadata={"a": EVIL})
    for number in range(30):
        detail = EVIL if number == 0 else ""
        slot = timezone.now() - timedelta(hours=number)
        Firing.objects.create(cron=cron, slot=slot, outcome=Outcome.FAILED, detail=detail)
    client = sign_in("viewer")
    page = client.get(address_of(cron))
    text = page.content.decode()
    assert EVIL not in text and text.count("evil") >= 4
    assert text.count("02:30 +0545") == text.count("20:45 UTC") == 10
    assert len(page.context["history"]) == 25
    assert len(client.get(address_of(cron) + page.context["sheet"].older).context["history"]) == 5
    assert client.get(f"{LIST}{cron.assistant_id}/").status_code == 404


@pytest.mark.parametrize("thread", [False, True], ids=["stateless", "thread"])
@pytest.mark.parametrize("ours", [False, True], ids=["of the SDK", "with a policy of ours"])
def test_snippets_hold_all_that_makes_the_cron_again(db: Any, thread: bool, ours: bool) -> None:
    payload = {"input": {"text": "it's"}, "schedule": "old", "enabled": False}
    payload["config"] = {"tags": ["t"], "configurable": {"x": 1, "cron_id": "1"}}
    cron = new_cron(
        thread=Thread.objects.create() if thread else None,
        payload=payload,
        timezone="Europe/Rome",
        end_time=datetime(2030, 1, 1, tzinfo=UTC),
        overlap="skip" if ours else "allow",
    )
    body = {"input": {"text": "it's"}, "assistant_id": str(cron.assistant_id), "schedule": "0 9 * * *"}
    body |= {"timezone": "Europe/Rome", "end_time": "2030-01-01T00:00:00+00:00"}
    body |= {"config": {"tags": ["t"], "configurable": {"x": 1}}} | ({"overlap": "skip"} if ours else {})
    found = cron_snippets(cron, "http://host")
    path = f"/threads/{cron.thread_id}/runs/crons" if thread else "/runs/crons"
    assert f"curl http://host{path} " in found["curl"]
    assert json.loads(found["curl"].split(" -d '")[1][:-1].replace("'\\''", "'")) == body
    compile(found["Python"], "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    called = "http.post" if ours else "crons.create_for_thread(" if thread else "crons.create("
    assert called in found["Python"] and "it's" in found["JavaScript"]
    assert ("overlap" in found["JavaScript"]) == ours == ("fetch(" in found["JavaScript"])


# --- actions ----------------------------------------------------------------------------------------------------------


def test_who_may_do_what(sign_in: SignIn) -> None:
    cron = new_cron()
    for role, refused in (
        ("viewer", ("run", "pause", "resume", "edit", "delete")),
        ("responder", ("run", "pause", "resume", "edit", "delete")),
        ("operator", ("delete",)),
    ):
        client = sign_in(role)
        for verb in refused:
            assert client.post(address_of(cron, f"{verb}/")).status_code == 403, (role, verb)
        assert (client.get(address_of(cron, "edit/")).status_code == 200) == (role == "operator")
        assert (client.get(address_of(cron, "preview/")).status_code == 200) == (role == "operator")
        page = text_of(client, address_of(cron))
        assert ("Run now" in page) == (role == "operator") and "Delete" not in page
    assert Client().get(LIST).status_code == 302
    before = Cron.objects.values().get()
    assert (before["enabled"], Run.objects.count(), AuditEntry.objects.count()) == (True, 0, 0)


def test_pausing_resuming_and_deleting_are_the_apis_verbs_and_audited(sign_in: SignIn) -> None:
    cron, client = new_cron(failures=2), sign_in("admin")
    client.post(address_of(cron, "pause/"), {"reason": "too loud"})
    cron.refresh_from_db()
    assert (cron.enabled, cron.due_at, cron.payload["enabled"]) == (False, None, False)
    client.post(address_of(cron, "resume/"))
    cron.refresh_from_db()
    assert (cron.enabled, cron.due_at, cron.failures) == (True, cron.next_run_date, 0)
    client.post(address_of(cron, "delete/"), {"reason": "done"})
    assert not Cron.objects.exists()
    entries = AuditEntry.objects.filter(object_type="crons.cron", object_id=cron.pk).order_by("pk")
    assert list(entries.values_list("actor", "action", "reason")) == [
        ("a admin", "pause", "too loud"),
        ("a admin", "resume", ""),
        ("a admin", "delete", "done"),
    ]
    assert entries[2].before["schedule"] == "0 9 * * *"


def test_what_cannot_run_says_why_and_leaves_no_entry(sign_in: SignIn) -> None:
    cron = new_cron(payload={"durability": "nonsense"})
    answer = sign_in("operator").post(address_of(cron, "run/"), follow=True)
    assert "It could not run: durability" in answer.content.decode()
    assert not AuditEntry.objects.exists() and not Firing.objects.exists()


def test_another_timetable_is_saved_as_patch_does_and_only_what_differs(sign_in: SignIn) -> None:
    cron, client = new_cron(payload={"input": 1}), sign_in("operator")
    assert "Nothing was changed" in client.post(address_of(cron, "edit/"), {}, follow=True).content.decode()
    given = {"schedule": "30 2 * * *", "timezone": "Europe/Rome", "end": "2030-07-01T12:00", "overlap": "skip"}
    assert edited(client, cron, **given, reason="summer").status_code == 302
    cron.refresh_from_db()
    assert (cron.schedule, cron.timezone, cron.overlap, cron.catch_up) == ("30 2 * * *", "Europe/Rome", "skip", "one")
    assert cron.end_time == datetime(2030, 7, 1, 10, tzinfo=UTC), "noon of the summer in Rome"
    assert cron.next_run_date == cron.timetable.following(timezone.now()) == cron.due_at
    assert cron.payload["input"] == 1 and cron.payload["schedule"] == "30 2 * * *"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.reason) == ("edit", "summer")
    assert entry.before == {"schedule": "0 9 * * *", "timezone": None, "end_time": None, "overlap": "allow"}
    assert edited(client, cron, end="").status_code == 302
    assert Cron.objects.get().end_time is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "61 * * * *"}, "Invalid cron schedule"),
        ({"schedule": f"{EVIL} * * * *"}, "&lt;script&gt;evil"),
        ({"schedule": "0 0 31 2 *"}, "failed to find next date"),
        ({"timezone": "Mars/Base"}, "Invalid timezone"),
        ({"end": "soon"}, "The end must be a date and a time."),
        ({"overlap": "nonsense"}, "is not one of allow, skip, enqueue"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_and_nothing_is_saved(sign_in: SignIn, given: dict[str, str], said: str) -> None:
    cron, client = new_cron(), sign_in("operator")
    before = Cron.objects.values().get()
    answer = edited(client, cron, **given)
    text = answer.content.decode()
    assert answer.status_code == 422 and said in text and EVIL not in text
    assert Cron.objects.values().get() == before and not AuditEntry.objects.exists()
    if "overlap" not in given:
        assert said in client.get(address_of(cron, "preview/"), given).content.decode()


def test_a_preview_shows_the_dates_and_saves_nothing(sign_in: SignIn) -> None:
    cron, client = new_cron(), sign_in("operator")
    given = {"schedule": "15 6 * * *", "timezone": "Asia/Kathmandu"}
    piece = client.get(address_of(cron, "preview/"), given).content.decode()
    assert piece.count("06:15 +0545") == piece.count("00:30 UTC") == 10 and "At 06:15" in piece
    page = edited(client, cron, **given, preview="1")
    assert page.status_code == 200 and piece.strip() in page.content.decode()
    past = client.get(address_of(cron, "preview/"), {"end": "2020-01-01T00:00"}).content.decode()
    assert "it would fire no more" in past
    assert Cron.objects.get().schedule == "0 9 * * *"


# --- the calendar -----------------------------------------------------------------------------------------------------

CALENDAR = "/admin/crons/calendar/"


def marks_of(page: Any) -> list[tuple[str, int, str, str, int]]:
    """Day, hour, time, colour and number of each mark."""
    return [
        (day.isoformat(), hour, mark.at, mark.tally.tone, mark.tally.count)
        for hour, cells in page.context["rows"]
        for day, cell in cells
        for mark in cell.items
    ]


def next_change(zone: ZoneInfo, sign: int) -> date:
    """The next day on which the zone's clocks are put forward (1) or back (-1)."""
    day = timezone.now().astimezone(zone).date()
    while True:
        day += timedelta(days=1)
        start, end = (datetime.combine(day + timedelta(days=n), datetime.min.time(), zone) for n in (0, 1))
        if ((end.utcoffset() or timedelta()) - (start.utcoffset() or timedelta())) * sign > timedelta():
            return day


@pytest.mark.parametrize(
    ("sign", "note", "at", "hours"), [(1, "does not exist", "03:00", 23), (-1, "comes twice", "02:30 CEST", 25)]
)
def test_days_on_which_clocks_change_are_shown_as_they_are(
    sign_in: SignIn, sign: int, note: str, at: str, hours: int
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    day = next_change(zone, sign)
    new_cron("30 2 * * *", timezone="Europe/Berlin")
    new_cron("30 * * * *", timezone="Europe/Rome")
    client = sign_in("viewer")
    page = client.get(f"{CALENDAR}?zone=Europe/Berlin&day={day}")
    cells = {(on, hour): cell for hour, cells in page.context["rows"] for on, cell in cells}
    assert len(cells) == 7 * 24
    assert {place: cell.note for place, cell in cells.items() if cell.note} == {(day, 2): note}
    (mark,) = (mark for mark in marks_of(page) if mark[0] == day.isoformat())
    assert mark == (day.isoformat(), int(at[:2]), at, "planned", 1)
    (column,) = (column for column in page.context["columns"] if column.day == day)
    assert [band.count for band in column.bands.items] == [hours]
    elsewhere = client.get(f"{CALENDAR}?zone=Asia/Kathmandu&day={day}&span=day")
    assert not [cell.note for _, ((_, cell),) in elsewhere.context["rows"] if cell.note]


def test_what_fired_has_the_colour_of_how_it_ended_and_who_fires_often_a_band(sign_in: SignIn) -> None:
    now = timezone.now()
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    rare, often = new_cron("0 0 1 1 *", assistant=assistant(EVIL)), new_cron("* * * * *")
    for minutes, word in ((0, "success"), (1, "error"), (90, "success"), (150, ""), (210, "skipped")):
        outcome = Outcome.SKIPPED if word == "skipped" else Outcome.FIRED
        status = "" if outcome == Outcome.SKIPPED else word
        Firing.objects.create(cron=rare, slot=noon + timedelta(minutes=minutes), outcome=outcome, run_status=status)
    for minute in range(50):
        Firing.objects.create(
            cron=often, slot=noon + timedelta(minutes=minute), outcome=Outcome.FIRED, run_status="success"
        )
    client = sign_in("viewer")
    page = client.get(f"{CALENDAR}?day={noon:%Y-%m-%d}&span=day")
    day, text = f"{noon:%Y-%m-%d}", page.content.decode()
    assert marks_of(page) == [
        (day, 12, "12:00", "bad", 2),
        (day, 13, "13:30", "good", 1),
        (day, 14, "14:30", "live", 1),
        (day, 15, "15:30", "none", 1),
    ]
    assert "1 error, 1 success" in text and EVIL not in text and "&lt;script&gt;" in text
    (band,) = page.context["columns"][0].bands.items
    assert (band.count, [(hour, tally.tone) for hour, tally in band.hours]) == (50, [(12, "good")])
    tomorrow = client.get(f"{CALENDAR}?day={now + timedelta(days=1):%Y-%m-%d}&span=day")
    (band,) = tomorrow.context["columns"][0].bands.items
    assert [(hour, tally.tone, tally.count) for hour, tally in band.hours] == [(n, "planned", 60) for n in range(24)]
    assert not marks_of(tomorrow)
    Cron.objects.update(enabled=False, due_at=None)
    assert "Nothing fires here." in text_of(client, f"{CALENDAR}?day={now + timedelta(days=1):%Y-%m-%d}&span=day")


def test_a_calendar_is_bounded_however_many_crons_fire_however_often(
    sign_in: SignIn, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, client = many_crons(1000), sign_in("viewer")
    monkeypatch.setattr(cron_calendar, "FIRINGS", 2000)
    day = timezone.now() - timedelta(days=1)
    Firing.objects.bulk_create(
        Firing(cron=made[0], slot=day + timedelta(seconds=number), outcome=Outcome.SKIPPED) for number in range(100)
    )
    for query in ("", f"?day={day:%Y-%m-%d}&span=day", f"?day={timezone.now() + timedelta(days=30):%Y-%m-%d}"):
        with django_assert_max_num_queries(QUERIES):
            page = client.get(f"{CALENDAR}{query}")
        assert "Only the 200 crons that fire next" in page.content.decode()
        most = 40 if "span" in query else 4
        assert max(len(cell.items) for _, cells in page.context["rows"] for _, cell in cells) <= most
        assert len(page.content) < 600_000
    far = {day for column in client.get(f"{CALENDAR}?day=9999-12-31").context["columns"] for day in [column.day]}
    assert timezone.now().date() in far
    monkeypatch.setattr(cron_calendar, "FIRINGS", 10)
    page = client.get(f"{CALENDAR}?zone={EVIL}&day=nonsense&text={made[0].pk}")
    assert "Invalid timezone" in page.content.decode() and EVIL not in page.content.decode()
    assert (
        sum(tally[4] for tally in marks_of(page))
        + sum(band.count for column in page.context["columns"] for band in column.bands.items)
        <= 10 + 7
    )


# --- in a browser -----------------------------------------------------------------------------------------------------

AUDIT = """
from accounts.models import AuditEntry
for entry in AuditEntry.objects.filter(object_type="crons.cron").order_by("pk"):
    print(entry.object_id, entry.action, entry.reason)
"""


def test_a_cron_is_seen_on_the_calendar_run_paused_and_given_another_timetable(
    page_of: Callable[..., Page], console: LiveServer
) -> None:
    body: dict[str, Any] = {"assistant_id": "echo", "schedule": "0 9 * * 1-5", "timezone": "Europe/Berlin"}
    body |= {"input": {"text": "daily"}, "on_run_completed": "keep", "end_time": "2035-01-01T00:00:00Z"}
    cron = httpx.post(f"{console.url}/runs/crons", json=body, timeout=30).json()
    where = f"{console.url}/runs/crons/{cron['cron_id']}"
    page = page_of("operator")
    page.goto(f"/admin/crons/calendar/?zone=Europe/Berlin&text={cron['cron_id']}")
    page.get_by_role("link", name="After").click()
    expect(page.locator(".wf-mark.wf-planned")).to_have_text(["09:00 echo: 1 planned"] * 5)
    shoot(page, "cron-calendar")
    page.goto(f"/admin/crons/?text={cron['cron_id']}")
    page.get_by_role("link", name="At 09:00, Monday through Friday").click()
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("button", name="Start a run").click()
    expect(page.locator(".wf-message")).to_contain_text("is started")
    expect(page.get_by_role("row", name="by hand")).to_be_visible()
    expect(page.get_by_role("row", name="by hand").get_by_role("link")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_label("Reason").fill("holidays")
    page.get_by_role("button", name="Pause it").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert httpx.get(where).json()["enabled"] is False
    shoot(page, "cron")
    page.get_by_role("link", name="Timetable").click()
    page.get_by_label("Schedule").fill("30 2 * *")
    expect(page.locator("#preview")).to_contain_text("Invalid cron schedule")
    page.get_by_label("Schedule").fill("30 2 * * *")
    page.get_by_label("Time zone").fill("Asia/Kathmandu")
    expect(page.locator("#preview")).to_contain_text("02:30 +0545")
    expect(page.locator("#preview tbody tr")).to_have_count(10)
    shoot(page, "cron-edit")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("At 02:30")
    changed = httpx.get(where).json()
    assert (changed["schedule"], changed["timezone"], changed["enabled"]) == ("30 2 * * *", "Asia/Kathmandu", False)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".wf-message")).to_contain_text("fires again")
    said = in_server(console, AUDIT)
    assert [line.split(" ", 1)[1] for line in said.splitlines() if line.startswith(cron["cron_id"])] == [
        "run ",
        "pause holidays",
        "edit ",
        "resume ",
    ]
    page.goto("/admin/crons/")
    shoot(page, "crons")
