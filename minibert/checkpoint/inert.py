"""What a training leaves beside the weights: objects of its own classes, named in the pickle.

Each becomes a note of the name. Nothing is imported, made or called, and what the object holds is
dropped. A tensor cannot be made of such a note. The list is closed: a name outside of it, as of a
class of one's own, refuses the file.
"""

from dataclasses import dataclass

#: Packages whose classes hold a training's settings and nothing of the model.
PACKAGES = {
    "pytorch_lightning",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "omegaconf",
}
_PLAIN = {"dict", "list", "tuple", "set", "int", "float", "str", "bool", "object"}
#: The classes of Python's own that those settings are made of.
NAMES: dict[str, set[str]] = {
    **dict.fromkeys(("builtins", "__builtin__"), _PLAIN),
    "argparse": {"Namespace"},
    "collections": {"defaultdict", "deque"},
    "pathlib": {"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "typing": {"Any"},
}


@dataclass(frozen=True)
class Inert:
    """A class of a training, or an object of it."""

    name: str

    @classmethod
    def of(cls, module: str, name: str) -> "Inert | None":
        """Return the note of a name, if it is in the list."""
        known = module.partition(".")[0] in PACKAGES or name in NAMES.get(module, ())
        return cls(f"{module}.{name}"[:80]) if known else None
