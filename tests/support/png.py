"""Reads the pictures that a browser takes: PNG of eight bits a channel, not interlaced."""

import struct
import zlib

import numpy as np


def pixels(png):
    """Return the picture, (height, width, 3), uint8."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {b"IDAT": b""}, 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks[kind] = chunks.get(kind, b"") + png[at + 8 : at + 8 + size]
        at += size + 12
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form in ([8, 2, 0, 0, 0], [8, 6, 0, 0, 0])
    channels = 3 if form[1] == 2 else 4
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    return unfilter(rows, channels).reshape(height, width, channels)[..., :3]


def unfilter(rows, channels):
    """Undo what each row says (in its first byte) was done to it to make it small."""
    above, found = np.zeros(rows.shape[1] - 1, np.uint8), []
    for kind, row in zip(rows[:, 0].tolist(), rows[:, 1:], strict=True):
        if kind == 0:
            above = row
        elif kind == 1:
            steps = row.reshape(-1, channels)
            above = np.add.accumulate(steps, axis=0, dtype=np.uint8).reshape(-1)
        elif kind == 2:
            above = row + above
        else:
            above = one_by_one(average if kind == 3 else paeth, row, above, channels)
        found.append(above)
    return np.array(found)


def one_by_one(predict, row, above, channels):
    upper = [0] * channels + above.tolist()
    here = [0] * channels
    for i, step in enumerate(row.tolist()):
        here.append((step + predict(here[i], upper[i + channels], upper[i])) & 255)
    return np.array(here[channels:], np.uint8)


def average(left, up, corner):
    return (left + up) // 2


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(value - guess))
