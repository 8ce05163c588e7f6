"""`manage.py graphs`: imports every graph and lists them, or shows the traceback of the first that cannot be."""

import importlib
import sys
import traceback
from types import TracebackType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from assistants import graphs
from config import project
from config.environment import ConfigurationError

OURS = (*(str(settings.BASE_DIR / app) for app in ("assistants", "config")), importlib.__file__, "<frozen importlib")


class Command(BaseCommand):
    """Check the graphs of langgraph.json."""

    help = "Import every graph and list them."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line for each graph. Raises ConfigurationError, after the traceback, for the first that fails."""
        try:
            project.prepare_process()
            for entry in project.project().graphs.values():
                self._load(entry)
        except project.ProjectError as error:
            raise ConfigurationError(str(error)) from None

    def _load(self, entry: project.GraphEntry) -> None:
        try:
            graphs.load(entry)
        except project.ProjectError:
            raise
        except (Exception, SystemExit) as error:
            # A person looks for a line of their own file, so nothing of ours comes before it.
            error.__traceback__ = _without_ours(error.__traceback__)
            traceback.print_exception(error, file=sys.stderr)
            raise ConfigurationError(
                f"Graph '{entry.graph_id}' ({entry.path}) cannot be imported: {type(error).__name__}: {error}"
            ) from None
        self.stdout.write(f"{entry.graph_id:<24} {entry.path}:{entry.symbol}")


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace and trace.tb_frame.f_code.co_filename.startswith(OURS):
        trace = trace.tb_next
    return trace
