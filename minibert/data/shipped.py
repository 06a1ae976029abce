"""What ships with the package: a trained checkpoint, and references for checkpoints that do not."""

from pathlib import Path

_FOLDER = Path(__file__).parent

#: The checkpoint that comes with the package: small, trained on a toy world, works offline.
EMBEDDED_CHECKPOINT = _FOLDER / "toy"
#: A GPT-2 that minibert trained itself on Shakespeare, by characters; see README.md.
EMBEDDED_GPT2 = _FOLDER / "shakespeare"
#: A BART that minibert trained itself to write the phonemes of English words; see README.md.
EMBEDDED_BART = _FOLDER / "phonemes"
#: What a reference is called in a checkpoint's folder.
REFERENCE_NAME = "reference.safetensors"


def shipped_references() -> dict[str, Path]:
    """Return the references that come with the package, for checkpoints that do not, by name."""
    return {path.stem: path for path in sorted((_FOLDER / "references").glob("*.safetensors"))}
