"""Lines to compare tokenizers on: made up of what makes trouble, and of what lies about."""

import gettext
import locale
import pydoc_data.topics
import random
import sysconfig
import unicodedata
from pathlib import Path

FOUND = 90_000  # lines of files

MARKS = [
    *map(chr, range(0x300, 0x370)),
    *"\u0344\u034f\u05b0\u064b\u08d4\u08e1\u094d\u0f73\u0f81\u1b44\u1dce\u302e\u302f\ua9c0",
    *"\U0001d15e\U0001d160\U0001d165\U0001d16d\U0001d1bf\U0001e944\u200b\u200d\ufe0f",
]
ODD = "\x00\t\n\r\x0b\x85\xa0\u2028\u3000\ufffd中\uf900İΣßﬁéÅ\u202eא\u200fب\U0001f468\U0001f3fd"


def character(chance):
    """Return one character: any block of Unicode, and often what makes trouble."""
    kind = chance.random()
    if kind < 0.35:
        return chr(chance.randrange(32, 127))
    if kind < 0.50:
        return chance.choice(MARKS)
    if kind < 0.60:
        return chance.choice(ODD)
    if kind < 0.70:
        return chr(chance.randrange(0x80, 0x600))
    code = chance.randrange(0x110000 if kind < 0.75 else 0x20000)
    return "\ud7ff" if 0xD800 <= code < 0xE000 else chr(code)


def fuzzed(seed, count, pieces=()):
    chance = random.Random(seed)
    for _ in range(count):
        parts = chance.randrange(30)
        yield "".join(
            chance.choice(pieces) if pieces and chance.random() < 0.5 else character(chance)
            for _ in range(parts)
        )


def of_every_block():
    """Yield every code point, sixteen at a time, with a letter before each."""
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(codes), 16):
        yield "".join(f"a{chr(code)}" for code in codes[start : start + 16])


def of_this_machine():
    """Yield lines in many languages: what lies about where Python is installed."""
    yield from pydoc_data.topics.topics.values()
    yield from locale.locale_alias
    yield from (unicodedata.name(chr(code), "") + chr(code) for code in range(0x250, 0x3000))
    yield from catalogues()
    library_folder = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library_folder.glob("test/cjkencodings/*")):
        yield path.read_text(path.stem.rpartition("-")[2] or "utf-8", errors="replace")
    places = [library_folder, Path(sysconfig.get_path("purelib"))]
    for pattern in ("**/*.py", "*.dist-info/METADATA"):
        for place in places:
            for path in sorted(place.glob(pattern)):
                yield path.read_text("utf-8", errors="replace")


def catalogues():
    """Yield translated messages of programs, where a system has them."""
    for path in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/*.mo")):
        try:
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)
        except (OSError, ValueError, IndexError):  # not all are as they should be
            continue
        yield from list(vars(catalogue)["_catalog"].values())[:40]


def lines_of_files():
    texts = (text for text in of_this_machine() if isinstance(text, str))
    lines = dict.fromkeys(line for text in texts for line in text.splitlines() if line.strip())
    return random.Random(3).sample(list(lines), min(FOUND, len(lines)))
