"""The account of a data set in words, as `csa plan` and `csa init` print it."""

from typing import Any

from csa.storage.files import printable

_SHOWN = 5
_CELL = 60


def account_lines(account: dict[str, Any]) -> list[str]:
    """The account as lines of text; no line for what there is nothing of.

    Args:
        account: of `Ingested.account`; empty if the data set could not be read.
    """
    if not account:
        return []
    lines = [f"  data: {_head(account)}"]
    for unit, tally in {"files": account.get("files"), **account.get("records", {})}.items():
        if tally:
            lines.append(f"    {unit}: {_tally(tally)}")
    for owner, columns in account.get("columns", {}).items():
        over = columns["passed_over"]
        lines.append(
            f"    columns of {owner}: {', '.join(columns['used'])}"
            + (f"; passed over: {', '.join(over)}" if over else "")
        )
    lines += _some("left out", [f"{one['count']:,} {one['what']}" for one in account["left_out"]])
    lines += _some("set aside", [f"{one['row']}: {one['reason']}" for one in account["set_aside"]])
    lines += [f"    note: {note}" for note in account["notes"]]
    lines += [
        "    pair " + ", ".join(f"{name} {_cell(value)}" for name, value in pair.items())
        for pair in account["sample"]
    ]
    return [printable(line) for line in lines]


def _head(account: dict[str, Any]) -> str:
    splits = ", ".join(f"{count:,} {split}" for split, count in account["splits"].items())
    groups = "" if account["groups"] is None else f" in {account['groups']:,} groups"
    return f"{account['pairs']:,} pairs{groups}" + (f" ({splits})" if splits else "")


def _tally(tally: dict[str, int]) -> str:
    parts = [f"{tally['used']:,} used"]
    parts += [f"{tally['set_aside']:,} set aside"] if tally["set_aside"] else []
    parts += [f"{tally['left_out']:,} left out"] if tally["left_out"] else []
    return f"{tally['total']:,}, " + ", ".join(parts)


def _some(title: str, found: list[str]) -> list[str]:
    more = len(found) - _SHOWN
    lines = [f"    {title}: {one}" for one in found[:_SHOWN]]
    return [*lines, f"    {title}: and {more:,} more"] if more > 0 else lines


def _cell(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= _CELL else f"{text[:_CELL]}...")
