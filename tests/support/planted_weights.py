"""Faults of the weights, and of the precision of numbers.

Where not all stages are recorded, less need be said of single numbers of a matrix: many a change of
it or of its neighbours comes as near as such a recording tells.
"""

# ruff: noqa: E501 - tables are read by their columns
# fmt: off
import numpy as np
from planting import both, fault, step, weights

SUM = r"embeddings\.sum"

# weights


def noise(size, seed=0):
    """Add normal numbers of this size, relative to the spread of each array."""
    random = np.random.default_rng(seed)
    return lambda x: x + size * x.std() * random.standard_normal(x.shape)


def shuffled(x):
    """Return another array of the same numbers."""
    random = np.random.default_rng(x.size)
    return random.permutation(x.ravel()).reshape(x.shape)


def at(place, change):
    """Change the numbers at an index."""

    def changed(x):
        x[place] = change(x[place])
        return x

    return changed


def other(x):
    return 0.5 * x[::-1] + 0.3 * np.abs(x).max()


def moved(target, source):
    """Put weight and bias of one part in place of another's."""

    def plant(bert):
        for array in ("weight", "bias"):
            bert.weights[f"{target}.{array}"] = bert.weights[f"{source}.{array}"]

    return plant


def bits(x, axis=None):
    """Round to 8 bits, a scale for the matrix or for each row."""
    if x.ndim < 2:
        return x
    step = np.abs(x).max(axis, keepdims=True) / 127
    return np.rint(x / step) * step


def bfloat16(x):
    return digits(x, 8)


def float16(x):
    return x.astype(np.float16).astype(x.dtype)


def digits(x, count):
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 2.0**count) / 2.0**count, exponent).astype(x.dtype)


Q1, V2, O3 = "layer.1.attention.query", "layer.2.attention.value", "layer.3.attention.output"
I2, F0, F3 = "layer.2.feed_forward.intermediate", "layer.0.feed_forward", "layer.3.feed_forward"
N1, N3, P, Q0 = "layer.1.attention_norm", "layer.3.norm", "pooler.dense", "layer.0.attention.query"
OTHER = r"(another|other|different|fine-?tuned)\b.*(checkpoint|weights|model)|weights.*(differ|other|another|chang|not those)"
MATRIX = rf"\brows?\b|\bcolumns?\b|{OTHER}|(matrix|bias)\b.*(differ|other|chang|not those)|(other|different|chang\w+)\b.*(matrix|bias)"
KEYS = r"weights of the key|keys in place of the values"  # the same, unless the values are recorded
STAGES = {N1: "layer.1.attention", N3: "layer.3", P: "pooler"}  # that show a norm

for kind, name, stage, words, plant, *partly in (
    ("checkpoint", "another checkpoint", SUM, OTHER, weights(".*", shuffled)),
    ("checkpoint", "layers of another checkpoint", Q0, OTHER, weights(r"(layer|pooler).*", shuffled)),
    ("checkpoint", "one layer of another checkpoint", r"layer\.2\.attention\.query", OTHER, weights(r"layer\.2.*", shuffled)),
    ("checkpoint", "word embeddings of another checkpoint", SUM, rf"{OTHER}|word", weights(r"embeddings\.word", shuffled)),
    ("checkpoint", "pooler of another checkpoint", "pooler", OTHER, weights(r"pooler.*", shuffled)),
    ("checkpoint", "fine-tuned, 1 %", SUM, OTHER, weights(".*", noise(0.01))),
    ("checkpoint", "fine-tuned, 10 %", SUM, OTHER, weights(".*", noise(0.1))),
    ("checkpoint", "fine-tuned from layer.2 on", r"layer\.2\.attention\.query", OTHER, weights(r"(layer\.[23]|pooler).*", noise(0.05))),
    ("checkpoint", "fine-tuned attention of layer.1", Q1, OTHER, weights(r"layer\.1\.attention\..*", noise(0.05))),
    *(("row", f"one row of {m}", m, r"\brow\b.*\b4\b", weights(rf"{m}\.weight", at(4, other)), MATRIX) for m in (Q1, O3, I2, F0)),
    *(("row", f"one column of {m}", m, r"\bcolumn\b.*\b4\b", weights(rf"{m}\.weight", at((slice(None), 4), other)), MATRIX) for m in (Q1, V2, I2, F3)),
    ("row", "one number of a matrix", V2, r"\b4\b.*\b5\b", weights(rf"{V2}\.weight", at((4, 5), lambda x: x + 2)), MATRIX),
    ("row", "one word's row", SUM, r"word.*\b3\b|\bid\b.*\b3\b", weights(r"embeddings\.word", at(3, other)), MATRIX),
    *(("bias", f"one number of the bias of {m}", STAGES.get(m, m), r"bias.*\b5\b|\b5\b.*bias", weights(rf"{m}\.bias", at(5, lambda x: x + 1)), MATRIX) for m in (Q1, O3, I2, F3, N1, N3, P)),
    *(("bias", f"no bias of {m}", STAGES.get(m, m), r"(no|without).* bias|bias.*(missing|left out)", weights(rf"{m}\.bias", np.zeros_like)) for m in (Q1, V2, O3, I2, F3, N1, N3, P)),
    *(("bias", f"no bias of any {m}", rf"layer\.0.*{m}", r"(no|without).* bias|bias.*(missing|left out)", weights(rf"layer\.\d\..*\b{m}\.bias", np.zeros_like)) for m in ("query", "key", "value", "output", "intermediate", "feed_forward")),
    *(("factor", f"{m} times {k}", m, rf"{k}\b.*times|times.*{k}|factor.*{k}|multipl.*{k}", weights(rf"{m}\.weight", lambda x, k=k: k * x), rf"times|factor|multipl|{MATRIX}") for m, k in ((Q1, 2), (O3, 2), (F3, 1.1), (V2, 0.5))),
    *(("permuted", f"rows of {m} permuted", m, r"permut|rows?.*(order|exchanged|revers|shuffl)", weights(rf"{m}\.weight", shuffle), MATRIX) for m, shuffle in ((Q1, lambda x: x[::-1]), (V2, lambda x: np.roll(x, 1, 0)), (I2, lambda x: x[np.random.default_rng(1).permutation(len(x))]))),
    ("neighbour", "the key's for the value", "layer.1.attention.value", r"weights of the key", moved("layer.1.attention.value", "layer.1.attention.key"), KEYS),
    ("neighbour", "the value's for the output", "layer.1.attention.output", r"weights of the value|attention\.value", moved("layer.1.attention.output", "layer.1.attention.value")),
    ("neighbour", "the next layer's query", Q1, r"weights of layer\.2", moved(Q1, Q1.replace("1", "2"))),
    ("neighbour", "the first layer's feed-forward", F3, r"weights of layer\.0", moved(F3, F0)),
    ("neighbour", "the first layer's weights in all", "layer.1.attention.query", r"layer\.0\b", lambda bert: [moved(f"layer.{i}.{m}", f"layer.0.{m}")(bert) for i in (1, 2, 3) for m in ("attention.query", "attention.key", "attention.value", "attention.output", "attention_norm", "feed_forward.intermediate", "feed_forward", "norm")]),
    *(("transposed", f"{m} transposed", m, r"transposed", weights(rf"{m}\.weight", np.transpose)) for m in (Q1, V2, O3)),
    ("transposed", "all square matrices transposed", Q0, r"transposed", weights(r"layer\.\d\.attention\.\w+\.weight", np.transpose)),
    *(("gamma", f"gamma and beta of {m} not loaded", STAGES.get(m, m.replace(".norm", "")), r"neither weight nor bias|weight.*bias.*(missing|not loaded|1 and 0)|gamma", both(weights(rf"{m}\.weight", np.ones_like), weights(rf"{m}\.bias", np.zeros_like))) for m in ("embeddings.norm", N1, N3)),
    ("gamma", "gamma and beta not loaded", "embeddings", r"neither weight nor bias|weight.*bias.*(missing|not loaded|1 and 0)|gamma", both(weights(r".*norm\.weight", np.ones_like), weights(r".*norm\.bias", np.zeros_like))),
    ("gamma", "gamma + 1 in all norms", "embeddings", r"1 added to the weight|gamma \+ 1", weights(r".*norm\.weight", lambda x: x + 1)),
    *(("gamma", f"gamma + 1 of {m}", STAGES[m], r"1 added to the weight|gamma \+ 1", weights(rf"{m}\.weight", lambda x: x + 1)) for m in (N1, N3)),
    ("words", "word rows shifted", SUM, r"word.*(next|before|shift|row)", weights(r"embeddings\.word", lambda x: np.roll(x, 1, 0))),
    ("rounded", "weights rounded to bfloat16", SUM, r"(weights|matrices|tensors).*bfloat16|bfloat16.*weights", weights(".*", bfloat16)),
    ("rounded", "weights rounded to float16", SUM, r"(weights|matrices|tensors).*\bfloat16|\bfloat16.*weights", weights(".*", float16)),
    ("rounded", "matrices of the layers rounded to float16", Q0, r"(weights|matrices|tensors).*\bfloat16|\bfloat16.*weights", weights(r"layer.*\w\.weight", lambda x: float16(x) if x.ndim > 1 else x)),
    ("rounded", "int8, a scale for each matrix", Q0, r"8[ -]bit|int8", weights(r"layer.*weight", bits)),
    ("rounded", "int8, a scale for each row", Q0, r"8[ -]bit|int8", weights(r"layer.*weight", lambda x: bits(x, 1))),
    ("rounded", "int8 in layer.2", r"layer\.2\.attention\.query", r"8[ -]bit|int8", weights(r"layer\.2.*weight", bits)),
    ("rounded", "int8, the embeddings too", SUM, r"8[ -]bit|int8", weights(r"(layer|embeddings).*", bits)),
):
    fault(kind, name, stage, words, plant, partly=partly[0] if partly else None)

# arithmetic


def dynamic(x):
    """Round what goes into a product to 8 bits: one scale and one zero for all of it."""
    low, high = min(x.min(), 0), max(x.max(), 0)
    step = (high - low) / 255
    return (np.rint((x - low) / step) * step + low).astype(x.dtype)


def linear_int8(bert, old, at, x):
    w, b = bert.weights[f"{at}.weight"], bert.weights[f"{at}.bias"]
    return dynamic(x) @ bits(w).T + b


def throughout(grid):
    """All arrays are of a precision; each operation rounds what it returns."""
    return both(weights(".*", grid), step("keep", lambda bert, old, at, x: grid(x)), step("product", lambda bert, old, at, a, b: grid(a @ b)))


def autocast(grid):
    """Products, and what follows them up to a norm or a residual, are of a precision."""
    kept = r".*(query|key|value|output|scores|probabilities|context|intermediate|activation|feed_forward|dense)"
    return both(step("keep", lambda bert, old, at, x: grid(x), kept), step("product", lambda bert, old, at, a, b: grid(grid(a) @ grid(b))))


def short(grid):
    return step("product", lambda bert, old, at, a, b: grid(a) @ grid(b))


def tf32(x):
    return digits(x, 11)


def single(name, grid, where=".*"):
    """One operation computes in a precision: its input and its result are rounded."""
    return step(name, lambda bert, old, at, x: grid(old(at, grid(x))), where)


ELEVEN = r"products? in float16|products?.*11 (binary )?digits"  # float16 and TF32 keep as many digits
for grid in (bfloat16, float16):
    own = rf"\b{grid.__name__}"
    products = rf"(autocast|product|rounding|arithmetic).*{own}|{own}.*(autocast|arithmetic|product)"  # not: rounded weights
    fault("precision", f"{own[2:]} throughout", SUM, own, throughout(grid), precise=True)
    fault("precision", f"autocast {own[2:]}", Q0, products, autocast(grid), precise=True)
    fault("precision", f"products in {own[2:]}", Q0, products + ("|TF32" if grid is float16 else ""), short(grid), precise=True)
    for operation, stage, words in (
        ("softmax", r"layer\.0\.attention\.probabilities", "softmax|probabilities"),
        ("norm", "embeddings", r"\bnorm|embeddings|layer\.2(\.attention)?(?!\.)"),
        ("activation", r"layer\.0\.feed_forward\.activation", "activation|gelu"),
    ):
        said = rf"{own}.*({words})|({words}).*{own}"
        # which operation of a layer is coarse, its state does not show
        fault("precision", f"{operation} in {own[2:]}", stage, said, single(operation, grid), partly=own, precise=True)
        fault("precision", f"{operation} in {own[2:]}, layer.2 alone", {"norm": r"layer\.2\.attention"}.get(operation, stage.replace("0", "2")), said, single(operation, grid, r"layer\.2.*"), partly=own, precise=True)
fault("precision", "TF32", Q0, rf"TF32|TensorFloat|{ELEVEN}", short(tf32), precise=True)
fault("precision", "int8 dynamic", Q0, r"8[ -]bit|int8", step("linear", linear_int8, r"layer.*"))
fault("precision", "int8 dynamic in layer.2", r"layer\.2\.attention\.query", r"8[ -]bit|int8", step("linear", linear_int8, r"layer\.2.*"))
