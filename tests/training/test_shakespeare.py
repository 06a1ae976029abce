"""The GPT-2 that the package trained and ships: it is what the recipe says, and has learnt."""

import numpy as np
from train_shakespeare import BLOCK, SETTINGS, STEPS, halves, texts

from minibert import EMBEDDED_GPT2, AutoTokenizer, GPT2LMHeadModel
from minibert.training.loop import evaluated


def test_it_foretells_what_was_held_out():
    model = GPT2LMHeadModel.from_pretrained(EMBEDDED_GPT2)
    tokenizer, given, held_out = halves()
    assert abs(evaluated(model, texts(held_out, 400, 2), 100)["held-out loss"] - 1.81) < 0.03
    assert (model.config.n_layer, model.config.n_embd, len(tokenizer)) == (4, 128, 66)
    assert len(texts(given, 3, 1)[0].inputs["input_ids"]) == BLOCK + 1
    assert STEPS * SETTINGS["batch_size"] == 24_000


def test_its_tokenizer_spells():
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_GPT2)
    text = "ROMEO:\nO, speak again!"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(text)["input_ids"]) == len(text)


def test_it_writes_the_same_from_the_same_seed():
    model = GPT2LMHeadModel.from_pretrained(EMBEDDED_GPT2)
    options = {"do_sample": True, "seed": 3, "max_new_tokens": 20}
    one, other = (model.generate([[20, 30, 40]], **options) for _ in range(2))
    np.testing.assert_array_equal(one, other)
