"""The recipe of the embedded checkpoint: what is hidden, and how heads are taught to look."""

from itertools import islice
from random import Random

import numpy as np
import pytest
import toy_world as world
from toy_questions import MASK, PIECES, TAUGHT, encode
from train_embedded import CONFIG, TAUGHT_RATE, WORD_IDS, example, learn, wanted

from minibert import BertConfig, BertForPreTraining
from minibert.losses import IGNORED
from minibert.training.batches import collate
from minibert.training.learning import learn as without_teaching
from minibert.training.weights import trainable

ITEMS = [*islice(world.items(5, "train"), 23)]
WAYS = True, False  # whole or not
SMALL = CONFIG | {"hidden_size": 36, "intermediate_size": 41, "num_hidden_layers": 3}


def examples(items, seed=1):
    rng = Random(seed)
    return [example(rng, item, 0.4, i % 4 == 0) for i, item in enumerate(items)]


def labelled(items, whole, seed=2):
    """Yield a guessed word, and what is shown in its place."""
    rng = Random(seed)
    for item in items:
        inputs, labels = example(rng, item, 0.4, whole)
        for shown, label in zip(inputs["input_ids"], labels["labels"], strict=True):
            if label != IGNORED:
                yield label, shown


def test_of_ten_guessed_words_eight_are_hidden_and_one_is_another():
    pairs = [*labelled(islice(world.items(6, "train"), 3000), whole=False)]
    assert len(pairs) > 5000
    assert 0.78 < np.mean([shown == MASK for _, shown in pairs]) < 0.82
    kept = np.mean([shown == label for label, shown in pairs])
    assert 0.08 < kept < 0.12
    assert {shown for _, shown in pairs} - {MASK} <= {*WORD_IDS}


def test_an_item_that_is_whole_is_asked_whether_the_second_follows():
    told = {True: 0, False: 1, None: IGNORED}
    for item in ITEMS:
        follows = [example(Random(0), item, 0.4, x).labels["next_sentence_label"] for x in WAYS]
        assert follows == [told[item.is_next], IGNORED]


def test_no_determined_word_of_a_whole_item_is_chosen():
    items = [*islice(world.items(7, "train"), 500)]
    size = sum(len(encode(item).ids) for item in items)
    few, many = (len([*labelled(items, whole)]) / size for whole in WAYS)
    assert 0.03 < few < 0.05  # one in twenty, but for [CLS] and [SEP]
    assert many > 2 * few


def test_each_item_hides_a_determined_word():
    for item in ITEMS:
        if item.determined:
            labels = example(Random(3), item, 0.0, False).labels["labels"]
            places = [encode(item).places[i][j] for i, j, _ in item.determined]
            assert any(labels[p] != IGNORED for place in places for p in place)


def taught_loss(model, batch):
    """What taught heads lose, from the attention that a call returns."""
    seen = model(**collate([one._replace(labels={}) for one in batch])).attentions
    total, links = 0.0, wanted(ITEMS)
    for layer, head in {*TAUGHT.values()}:
        for row, (taught, there, count) in links[f"layer.{layer}.attention."].items():
            assert taught == head
            size = len(there)
            given = (seen[layer][row, head, :size, :size] * there).sum(-1)[there.any(-1)]
            total -= TAUGHT_RATE * np.log(given + 1e-6).sum() / count
    return total


@pytest.fixture
def begun(tmp_path):
    """A model in float64, and its weights by field."""
    config = BertConfig(vocab_size=len(PIECES), output_attentions=True, **SMALL)
    BertForPreTraining(config, seed=0).save_pretrained(tmp_path)
    return trainable(BertForPreTraining.from_pretrained(tmp_path, dtype="float64"))


def test_heads_are_taught_along_the_gradient_of_what_they_lose(begun):
    (model, weights), batch, random = begun, examples(ITEMS), np.random.default_rng(0)
    alone = without_teaching(model, model.batch(**collate(batch)))[1]
    found = learn(model, batch, ITEMS)[1]
    way = {field: random.standard_normal(x.shape) for field, x in found.items()}
    slope = sum(((found[x] - alone[x]) * way[x]).sum() for x in way)
    losses = []
    for step in (1e-6, -2e-6, 1e-6):  # there, to the other side, and back
        for field, x in way.items():
            weights[field] += step * x
        losses.append(taught_loss(model, batch))
    assert abs(slope) > 0.01
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(slope, rel=1e-6)
