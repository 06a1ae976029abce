"""What a verification found: as data, and as a table."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from minibert.verification.compare import Row, Tolerance


@dataclass(frozen=True)
class Report:
    """The rows in network order, the tolerance, and where both sides are from."""

    rows: tuple[Row, ...]
    tolerance: Tolerance
    provenance: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every stage agrees, and there is one."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def first_failure(self) -> Row | None:
        """The first stage, in network order, that does not agree."""
        return next((row for row in self.rows if not row.ok), None)

    @property
    def verdict(self) -> str:
        """One line: all is well, or which stage fails first."""
        bad = self.first_failure
        if bad is None:
            return f"OK: all {len(self.rows)} stages agree"
        failing = sum(not row.ok for row in self.rows)
        detail = bad.detail or f"{bad.outside} of {bad.compared} numbers are beyond the tolerance"
        return (
            f"{bad.status}: {failing} of {len(self.rows)} stages fail, "
            f"the first is {bad.stage} ({detail})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the same as data, for JSON."""
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "first_failure": self.first_failure.stage if self.first_failure else None,
            "tolerance": asdict(self.tolerance),
            "provenance": self.provenance,
            "stages": [_plain(asdict(row)) for row in self.rows],
        }

    def __str__(self) -> str:
        return "\n".join([*self._head(), "", *self._table(), "", self.verdict])

    def _head(self) -> list[str]:
        theirs = self.provenance["reference"]
        recorded, found = theirs.get("checkpoint_sha256"), self.provenance["checkpoint_sha256"]
        return [
            f"model      {self.provenance['model']}",
            f"reference  {theirs.get('tools', 'unknown tools')}; "
            f"{theirs.get('dtype', 'unknown dtype')}, "
            f"attention {theirs.get('attention', 'unknown')}",
            f"checkpoint {theirs.get('checkpoint', 'unknown')}, {_same(recorded, found)}",
            f"compared   {self.provenance['real_tokens']} real tokens, {self.tolerance}",
        ]

    def _table(self) -> list[str]:
        width = max((len(row.stage) for row in self.rows), default=5)
        head = f"{'stage':{width}}  {'status':9} {'max abs':>9} {'max rel':>9} {'mean abs':>9}"
        return [f"{head}  worst: ours, theirs", *(_line(row, width) for row in self.rows)]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Write NaN and infinities as text: JSON has no number for them."""
    odd = {k: str(v) for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {**row, **odd}


def _same(recorded: str | None, found: str | None) -> str:
    if recorded is None or found is None:
        return "SHA-256 not known on both sides"
    if recorded == found:
        return f"the same files (SHA-256 {found[:12]}...)"
    return f"OTHER FILES: SHA-256 {recorded[:12]}... was recorded, this is {found[:12]}..."


def _line(row: Row, width: int) -> str:
    errors = "".join(
        f" {'-' if error is None else format(error, '.1e'):>9}"
        for error in (row.max_abs, row.max_rel, row.mean_abs)
    )
    worst = ""
    if row.worst is not None and row.ours is not None and row.theirs is not None:
        worst = f"  {list(row.worst)}: {row.ours:.6g}, {row.theirs:.6g}"
    return f"{row.stage:{width}}  {row.status:9}{errors}{worst}  {row.detail}".rstrip()
