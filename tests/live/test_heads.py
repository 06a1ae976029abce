"""Every head beside transformers, now: outputs, field names, tensor names."""

import numpy as np
import pytest

from minibert.models import auto

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

TASKS = [name for name in auto.CLASSES["bert"] if name[0].isupper()]
SIZES = {
    "vocab_size": 101,
    "hidden_size": 45,
    "num_attention_heads": 9,
    "intermediate_size": 131,
    "num_hidden_layers": 3,
    "max_position_embeddings": 41,
    "type_vocab_size": 3,
}


def drawn(folder, task, **options):
    """Save a transformers model with this head, every weight of it wide."""
    torch.manual_seed(0)
    labels = {} if task in ("QuestionAnswering", "NextSentencePrediction") else {"num_labels": 7}
    config = transformers.BertConfig(**SIZES, **labels, **options)
    kind = getattr(transformers, f"BertFor{task}")
    model = kind._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            center = 1.0 if "LayerNorm.weight" in name else 0.0
            weight.copy_(center + 0.15 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model.double()


def batch(task, seed=1):
    random = np.random.default_rng(seed)
    shape = (5, 4, 23) if task == "MultipleChoice" else (5, 23)
    mask = (random.random(shape) < 0.7).astype(np.int64)
    mask[..., 0] = 1
    return {
        "input_ids": random.integers(0, 101, shape),
        "attention_mask": mask,
        "token_type_ids": random.integers(0, 3, shape),
    }


@pytest.mark.parametrize("task", TASKS)
def test_outputs_agree_to_1e_12_of_the_scale(tmp_path, task):
    theirs = drawn(tmp_path, task)
    inputs = batch(task)
    with torch.inference_mode():
        expected = theirs(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    found = getattr(auto, f"AutoModelFor{task}").from_pretrained(tmp_path, "float64")(**inputs)
    assert list(found.keys()) == list(expected.keys())
    real = inputs["attention_mask"] != 0
    for name, value in expected.items():
        ours, value = found[name], value.numpy()
        assert ours.shape == value.shape
        error = np.abs(ours - value)
        if value.shape[:2] == real.shape and task != "MultipleChoice":
            error = error[real]
        assert error.max() <= 1e-12 * np.abs(value).max(), name


@pytest.mark.parametrize("task", TASKS)
def test_tensors_go_by_the_names_of_transformers(tmp_path, task):
    theirs = drawn(tmp_path, task)
    model = getattr(auto, f"AutoModelFor{task}").from_pretrained(tmp_path)
    tied = {f"cls.predictions.decoder.{part}" for part in ("weight", "bias")}
    assert set(model.state_dict()) == set(theirs.state_dict()) - tied
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert all(value.shape == shapes[name] for name, value in model.state_dict().items())
    assert model.num_parameters() == theirs.num_parameters()
    assert not model.loading_report.newly_initialized


def test_an_untied_decoder(tmp_path):
    theirs = drawn(tmp_path, "MaskedLM", tie_word_embeddings=False)
    inputs = batch("MaskedLM")
    with torch.inference_mode():
        expected = theirs(**{k: torch.from_numpy(v) for k, v in inputs.items()}).logits.numpy()
    model = auto.AutoModelForMaskedLM.from_pretrained(tmp_path, "float64")
    real = inputs["attention_mask"] != 0
    error = np.abs(model(**inputs).logits - expected)[real]
    assert error.max() <= 1e-12 * np.abs(expected).max()
