"""The size of what has to be installed: a distribution and all that it requires."""

from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.tables import megabytes, table

ENGINES = {
    "minibert": ("minibert-numpy",),
    "transformers and torch": ("transformers", "torch"),
    "onnxruntime": ("onnxruntime",),
}


def measure() -> dict[str, Any]:
    """Return the bytes of each distribution that an engine needs; None where one is missing."""
    found: dict[str, Any] = {}
    for engine, names in ENGINES.items():
        try:
            found[engine] = {name: size(name) for name in sorted(closure(names))}
        except metadata.PackageNotFoundError:
            found[engine] = None
    return found


def closure(names: Iterable[str]) -> set[str]:
    """Return the distributions, and all that they require here and without extras."""
    todo, done = list(names), set[str]()
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in done:
            done.add(name)
            todo += required(metadata.requires(name) or [])
    return done


def required(requirements: Iterable[str]) -> Iterator[str]:
    """Yield the names of those that hold on this machine; of what they ask for, no extras."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def size(name: str) -> int:
    """Return the bytes of a distribution's files, those of bytecode left out.

    Of minibert, the files of this checkout: the record of an editable install lists none.
    """
    if name == "minibert-numpy":
        files = (Path(__file__).parents[3] / "minibert").rglob("*")
        return sum(file.stat().st_size for file in files if _counts(file))
    recorded = metadata.files(name) or []
    paths = (Path(str(file.locate())) for file in recorded)
    return sum(path.stat().st_size for path in paths if _counts(path))


def _counts(file: Path) -> bool:
    return file.is_file() and file.suffix != ".pyc"


def render(measured: dict[str, Any]) -> str:
    """Return the table."""
    rows = []
    for engine, found in measured.items():
        if found is None:
            rows.append((f"  {engine}", "absent", "", ""))
            continue
        total = sum(found.values())
        largest = sorted(found, key=found.__getitem__, reverse=True)[:3]
        named = ", ".join(f"{name} {megabytes(found[name])}" for name in largest)
        rows.append((f"  {engine}", megabytes(total), f"{len(found)}", named))
    header = ("  engine", "installed", "packages", "the largest")
    return f"Size of what has to be installed, without bytecode\n{table(header, rows)}"
