"""Other people's models in the admin, in its look: Django's logins, celery beat's ticks."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.auditing import Audited

admin.site.unregister(
    [User, Group, PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule],
)


@admin.register(User)
class LoginAdmin(Audited, UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """Who may sign in here."""

    audited_by_name = True

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class RoleAdmin(Audited, GroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Groups of logins with the same permissions; four of them are the console's roles."""

    audited_by_name = True


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):  # type: ignore[misc]
    """beat's list of Celery tasks."""


class TickForm(beat.PeriodicTaskForm):  # type: ignore[misc]
    """beat's form."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class TickAdmin(Audited, beat.PeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc]
    """What beat does again and again. It does it itself, so no entry can be sent to a worker from here."""

    audited_by_name = True
    change_form_template = None  # beat's own writes a script into the page, which the policy refuses
    form = TickForm
    list_display = ("name", "task", "enabled", "scheduler", "last_run_at", "total_run_count")
    list_filter = ("enabled",)
    date_hierarchy = None
    actions = ("enable_tasks", "disable_tasks")


class TickInline(TabularInline):  # type: ignore[misc]
    """The ticks that use a schedule."""

    model = PeriodicTask
    fields = readonly_fields = ("name", "task", "enabled")
    extra = max_num = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They are added on a page of their own."""
        return False


@admin.register(IntervalSchedule, ClockedSchedule, SolarSchedule)
class ScheduleAdmin(ModelAdmin):  # type: ignore[misc]
    """When."""

    inlines = (TickInline,)


@admin.register(CrontabSchedule)
class CrontabAdmin(beat.CrontabScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    """When, in cron's words."""

    inlines = (TickInline,)
