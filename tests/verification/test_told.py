"""The labels that are made up for a recording, and the head that they are for."""

import json

import numpy as np
import pytest
from learning import KINDS, read, sizes

from minibert.models.auto import MODELS
from minibert.verification.told import labels_of, of_its_class

CLASSES = {kind.__name__: kind for kind in MODELS}


@pytest.mark.parametrize("padding", ["right", "left", "holes"])
@pytest.mark.parametrize("kind", [x for x in KINDS if not x.endswith("Choice")])
def test_every_head_has_a_loss_of_them(kind, padding):
    model = CLASSES[kind](CLASSES[kind].config_class(**sizes(kind)))
    inputs = read(kind, padding)
    if kind == "BartForConditionalGeneration":
        inputs["decoder_input_ids"] = inputs["input_ids"]
    if kind.startswith("Bart"):
        inputs["decoder_attention_mask"] = np.ones(
            inputs.get("decoder_input_ids", inputs["input_ids"]).shape, int
        )
        inputs.setdefault("decoder_input_ids", inputs["input_ids"])
    labels = labels_of(CLASSES[kind], model.config, inputs)
    assert np.isfinite(model(**inputs, **labels).loss)


@pytest.mark.parametrize(
    ("problem", "count"),
    [("regression", 1), (None, 1), ("regression", 3), ("multi_label_classification", 3)],
)
def test_numbers_are_told_where_the_config_says_so(problem, count):
    kind = CLASSES["BertForSequenceClassification"]
    config = kind.config_class(
        **{**sizes(kind.__name__), "num_labels": count}, problem_type=problem
    )
    inputs = read(kind.__name__)
    labels = labels_of(kind, config, inputs)
    assert labels["labels"].dtype == float
    assert np.isfinite(kind(config)(**inputs, **labels).loss)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["BertModel"], "says 'BertModel'; allowed: BertForMaskedLM, "),
        (None, "says none; allowed: "),
        ("BertForMaskedLM", "says none; allowed: "),
    ],
)
def test_a_head_must_be_named(tmp_path, given, says):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "bert", "architectures": given})
    )
    with pytest.raises(ValueError, match=says):
        of_its_class(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["Other", "GPT2LMHeadModel"]})
    )
    assert of_its_class(tmp_path) is CLASSES["GPT2LMHeadModel"]
