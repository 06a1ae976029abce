"""Words that the tokenizer cuts in a second, on one core.

A word is what white space separates. Process time is taken, so that other work on the machine
counts less; the first run of each row begins with nothing remembered.
"""

import pydoc_data.topics
import statistics
import time
from typing import Any

from bench.start import minilm
from bench.tables import table
from minibert.tokenizers import BertTokenizer

RUNS = 9


def measure(only: str) -> list[dict[str, Any]]:
    """Time the texts whose names contain ``only``, without and with offsets."""
    return [
        {"text": name, "words": count(lines), "offsets": offsets, "speeds": speeds(lines, offsets)}
        for name, lines in texts().items()
        if only in name
        for offsets in (False, True)
    ]


def texts() -> dict[str, list[str]]:
    """Return the paragraphs of Python's manual, of its prose alone, and of its prose in accents."""
    topics = "\n\n".join(pydoc_data.topics.topics.values())
    paragraphs = [" ".join(part.split()) for part in topics.split("\n\n") if part.split()]
    prose = [p for p in paragraphs if is_prose(p)]
    accented = [p.replace("e", "é").replace("o", "ö") for p in prose]
    return {"prose": prose, "manual": paragraphs, "accents": accented}


def is_prose(paragraph: str) -> bool:
    """Tell whether a paragraph is long and of letters."""
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return len(paragraph) > 200 and letters > 0.93 * len(paragraph)


def count(lines: list[str]) -> int:
    """Return the number of words."""
    return sum(len(line.split()) for line in lines)


def speeds(lines: list[str], offsets: bool) -> list[float]:
    """Return the words a second of each run of one tokenizer, that of all-MiniLM-L6-v2."""
    tokenizer = BertTokenizer.from_pretrained(minilm(), model_max_length=10**9)
    found = []
    for _ in range(RUNS):
        start = time.process_time()
        tokenizer(lines, return_offsets_mapping=offsets)
        found.append(count(lines) / (time.process_time() - start))
    return found


def render(measured: list[dict[str, Any]]) -> str:
    """Return the table."""
    rows = [
        (
            f"  {row['text']}",
            f"{row['words']:,}",
            "yes" if row["offsets"] else "no",
            f"{statistics.median(row['speeds']):,.0f}",
            f"{row['speeds'][0]:,.0f}",
            f"{max(row['speeds']):,.0f}",
        )
        for row in measured
    ]
    header = ("  text", "words", "offsets", "median", "first", "best")
    return f"Words cut in a second, on one core\n{table(header, rows)}"
