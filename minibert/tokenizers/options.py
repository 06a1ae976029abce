"""The options of a call, checked: what is unknown or does not fit together is refused."""

import warnings
from dataclasses import dataclass
from typing import Any

NO_LIMIT = int(1e30)  # transformers' model_max_length where the files name none

_PADDING = {False: None, "do_not_pad": None, True: "longest", "longest": "longest"}
_PADDING |= {"max_length": "max_length"}
_TRUNCATION = {False: None, "do_not_truncate": None, None: None, True: "longest_first"}
_TRUNCATION |= {name: name for name in ("longest_first", "only_first", "only_second")}


@dataclass(frozen=True)
class Lengths:
    """What a call does about lengths. max_length is set where padding or truncation needs it."""

    padding: str | None  # longest, max_length
    truncation: str | None  # longest_first, only_first, only_second
    max_length: int | None
    stride: int
    asked: bool  # whether max_length is the call's own


def check_lengths(
    padding: Any, truncation: Any, max_length: Any, stride: Any, model_max_length: int
) -> Lengths:
    """Return what padding, truncation and max_length mean together, as in transformers."""
    _check_whole("max_length", max_length, None)
    _check_whole("stride", stride, 0)
    asked = max_length is not None
    pads = _choice("padding", padding, _PADDING)
    if asked and padding is False and truncation is None:
        truncation = True  # a max_length alone means this
    cuts = _choice("truncation", truncation, _TRUNCATION)
    if asked and padding is True and cuts is None:
        warnings.warn(
            "max_length has no effect with padding=True and no truncation; "
            'pass truncation=True too, or padding="max_length"',
            stacklevel=3,
        )
    if not asked and (pads == "max_length" or cuts):
        max_length = _length_of_model(padding, truncation, cuts, model_max_length)
    return Lengths(pads, cuts, max_length, stride, asked)


def _length_of_model(padding: Any, truncation: Any, cuts: str | None, model_max_length: int) -> int:
    if model_max_length >= NO_LIMIT:
        asked = f"truncation={truncation!r}" if cuts else f"padding={padding!r}"
        raise ValueError(
            f"{asked} needs a max_length: the files of this tokenizer name no model_max_length; "
            "pass, for instance, max_length=512"
        )
    return model_max_length


def _choice(name: str, value: Any, allowed: dict[Any, str | None]) -> str | None:
    # 1 == True in a dictionary, so the kind is asked for too
    if isinstance(value, bool | str | None) and value in allowed:
        return allowed[value]
    words = ", ".join(map(repr, allowed))
    raise ValueError(f"{name} is {value!r}; allowed: {words}")


def _check_whole(name: str, value: Any, default: int | None) -> None:
    """Raise if a value is neither the default nor a whole number from 0."""
    if value == default and type(value) is type(default):
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; needed: a whole number")
    if value < 0:
        raise ValueError(f"{name} is {value}; allowed: 0 and above")


def check_stride(stride: int, room: int) -> None:
    """Raise if a window of this many tokens would hold no more than what it repeats."""
    if stride and stride >= room:
        raise ValueError(
            f"stride is {stride}, and a row has room for {room} tokens of the text that is cut; "
            "allowed: less than that, or a larger max_length"
        )


def check_tensors(return_tensors: Any) -> bool:
    """Return whether arrays are asked for."""
    if return_tensors in ("pt", "tf", "jax", "mlx"):
        raise ValueError(
            f"return_tensors={return_tensors!r}: this package makes NumPy arrays; "
            'pass return_tensors="np" (torch.from_numpy turns them into tensors)'
        )
    if return_tensors not in (None, "np"):
        raise ValueError(f'return_tensors is {return_tensors!r}; allowed: None, "np"')
    return return_tensors is not None


def check_texts(text: Any, text_pair: Any) -> tuple[list[tuple[str, ...]], bool]:
    """Return a list of texts and pairs, and whether it was given as a list."""
    if not isinstance(text, list | tuple):
        return [_one("text", text) if text_pair is None else _both("text", text, text_pair)], False
    if not text:
        raise ValueError("text is an empty list: there is nothing to tokenize")
    if text_pair is None:
        return [_one(f"text[{i}]", item) for i, item in enumerate(text)], True
    if not isinstance(text_pair, list | tuple):
        raise TypeError(
            f"text is a list, and text_pair is {_kind(text_pair)}; needed: a list of one length"
        )
    if len(text) != len(text_pair):
        raise ValueError(
            f"text has {len(text)} entries, and text_pair has {len(text_pair)}; "
            "each text needs its pair"
        )
    pairs = zip(text, text_pair, strict=True)
    return [_both(f"[{i}]", first, second) for i, (first, second) in enumerate(pairs)], True


def _one(name: str, item: Any) -> tuple[str, ...]:
    if not isinstance(item, list | tuple):
        return (_text(name, item),)
    if len(item) != 2:
        raise ValueError(
            f"{name} is a list of {len(item)} entries; allowed: a text, or a pair of two texts"
        )
    return _both(name, *item)


def _both(name: str, first: Any, second: Any) -> tuple[str, str]:
    place = "" if name == "text" else name.removeprefix("text")
    return _text(f"text{place}", first), _text(f"text_pair{place}", second)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    hint = "; write .decode('utf-8') after it" if isinstance(value, bytes) else ""
    raise TypeError(f"{name} is {_kind(value)}; needed: text (str), or a list of texts{hint}")


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
