"""When a schedule fires: by a cron expression in a time zone, or every this many minutes."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from csa.errors import InputError

if TYPE_CHECKING:
    from prefect.schedules import Schedule

_EXAMPLE = "'0 3 * * *'"


@dataclass(frozen=True)
class Times:
    """When to run; `asked` makes it of what a person said.

    Attributes:
        cron: five fields, in `timezone`; or
        minutes: between two runs, from `since` on.
        timezone: a name such as Europe/Berlin.
        since: when the schedule was made.
    """

    cron: str | None
    minutes: float | None
    timezone: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def asked(cls, cron: str | None, minutes: float | None, timezone: str | None) -> "Times":
        """What a person asked for.

        Args:
            cron: an expression of five fields, or None.
            minutes: between two runs, or None.
            timezone: that the expression is in; None: the machine's.

        Returns:
            The times; there is at least one.

        Raises:
            InputError: no schedule, both kinds, a time zone that nobody knows, or an expression
                that never fires.
        """
        if (cron is None) == (minutes is None):
            raise InputError(
                'give either --cron, such as --cron "0 3 * * *" for every night at three, or '
                "--every MINUTES"
            )
        if minutes is not None and minutes <= 0:
            raise InputError(f"--every {minutes:g}: expected a number of minutes above 0")
        if minutes is not None and timezone is not None:
            raise InputError("--timezone says what --cron means; --every needs none")
        if cron is not None and len(cron.split()) != 5:
            raise InputError(f"--cron {cron!r}: expected five fields, such as {_EXAMPLE}")
        times = cls(cron, minutes, _of_the_machine() if timezone is None else _known(timezone))
        times.following(1)
        return times

    def following(self, n: int, start: datetime | None = None) -> list[datetime]:
        """The next times.

        Args:
            n: how many.
            start: after when; None: now.

        Returns:
            In the time zone, in order.

        Raises:
            InputError: there is none.
        """
        from pydantic import ValidationError

        try:
            schedule = self._of_the_server()
            first = start or max(datetime.now(UTC), self.since + timedelta(seconds=1))
            return list(asyncio.run(schedule.get_dates(n, start=first)))
        except ValidationError:
            raise InputError(
                f"--cron {self.cron!r}: not a cron expression; expected five fields, such as "
                f"{_EXAMPLE}"
            ) from None
        except ValueError:
            raise InputError(
                f"--cron {self.cron!r}: it never fires; is there such a day in that month?"
            ) from None

    def of_prefect(self) -> "Schedule":
        """For a deployment."""
        from prefect.schedules import Schedule

        if self.cron is not None:
            return Schedule(cron=self.cron, timezone=self.timezone)
        return Schedule(interval=self._interval(), anchor_date=self.since, timezone=self.timezone)

    def _of_the_server(self) -> Any:
        """What Prefect's server makes of it."""
        from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        return IntervalSchedule(
            interval=self._interval(), anchor_date=self.since, timezone=self.timezone
        )

    def _interval(self) -> timedelta:
        return timedelta(minutes=self.minutes or 0)

    def __str__(self) -> str:
        which = f"every {self.minutes:g} minutes" if self.cron is None else f"cron {self.cron}"
        shown = ", ".join(f"{time:%a %Y-%m-%d %H:%M %Z}" for time in self.following(3))
        return f"{which} in {self.timezone}; next {shown}"


def _of_the_machine() -> str:
    import tzlocal

    try:
        name = tzlocal.get_localzone_name()
    except Exception as error:  # whatever a setting of the machine brings about
        raise _nameless(" ".join(str(error).split())[:150]) from None
    if not name:
        raise _nameless("it is set by rules alone")
    return _known(name)


def _nameless(why: str) -> InputError:
    return InputError(
        f"this machine's time zone has no name ({why}); give --timezone, such as Europe/Berlin"
    )


def _known(timezone: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(timezone).key
    except (ValueError, OSError, KeyError):  # no such name, or none that a zone can have
        pass
    zones = {name.lower(): name for name in available_timezones()}
    near = [zones[name] for name in get_close_matches(timezone.lower(), zones, 3, 0.5)]
    hint = f"; did you mean {' or '.join(near)}?" if near else "; give one such as Europe/Berlin"
    raise InputError(f"--timezone {timezone!r}: no time zone of that name{hint}")
