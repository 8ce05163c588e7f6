"""A schedule in words, for people. Knows nothing of time zones; cron-descriptor knows the language."""

import functools

from cron_descriptor import ExpressionDescriptor, Options
from croniter import croniter

DAY_OF_MONTH, DAY_OF_WEEK = 2, 4  # which fields they are


@functools.lru_cache(1024)
def in_words(expression: str) -> str:
    """`At 09:00, Monday through Friday`; the expression itself where there are no words for it."""
    try:
        return _described(expression)
    except Exception:  # the describing library raises whatever comes, for forms it does not know
        return expression


def _described(expression: str) -> str:
    parsed = croniter(expression)
    fields = [
        "*" if values == ["*"] else field.upper()
        for field, values in zip(parsed.expressions, parsed.expanded, strict=True)
    ]
    if "*" in (fields[DAY_OF_MONTH], fields[DAY_OF_WEEK]):
        return _sentence(fields)
    # Either of the two is enough, though the library would say that both are needed.
    each = [[*fields[:other], "*", *fields[other + 1 :]] for other in (DAY_OF_WEEK, DAY_OF_MONTH)]
    of_month, of_week = map(_sentence, each)
    return f"{of_month}; also {of_week[0].lower()}{of_week[1:]}"


def _sentence(fields: list[str]) -> str:
    """In the library's order: ours has seconds behind the day of the week, and years last."""
    minutes_on, seconds, years = fields[:5], fields[5:6], fields[6:]
    options = Options()
    options.locale_code, options.use_24hour_time_format = "en_US", True
    return str(ExpressionDescriptor(" ".join([*seconds, *minutes_on, *years]), options).get_description())
