"""What people type by mistake, by kind: each ends in a sentence, none in a bare error."""

# ruff: noqa: E501 - a table is read by its columns

import ast
import traceback
from functools import cache
from pathlib import Path

import pytest

import minibert
from minibert import EMBEDDED_CHECKPOINT, BertModel, BertTokenizer, Reference

PACKAGE = Path(minibert.__file__).parent
START = """
import numpy as np
from pathlib import Path
from minibert import *
from minibert import functions, tasks
import minibert

class Torch:
    def detach(self):
        return self

x = np.ones((3, 4), np.float32)
w, b, q = np.ones((5, 4), np.float32), np.ones(5, np.float32), np.ones((2, 3, 4), np.float32)
i = np.ones(3, int)
f = lambda x: x
"""
#: Kind -> what is typed. m is a model, t its tokenizer, p their folder, r its reference; x and q are
#: arrays of rows and of heads, w and b the weights of a matrix, i ids, f a function.
MISTAKES = {
    "a keyword of a config": [
        *(f"BertConfig({name}=3)" for name in (
            "num_layers", "n_layers", "n_layer", "layers", "hidden_layers", "num_heads", "n_heads",
            "heads", "dim", "d_model", "hidden", "embed_dim", "ffn_dim", "d_ff", "max_len",
            "max_length", "n_positions", "vocab", "n_vocab", "num_classes", "n_labels", "dropout",
            "attention_dropout", "activation", "eps", "layer_norm_epsilon", "pad_id", "colour",
        )),
        "BertConfig(hidden_sizes=3)", "BertConfig(12)", "BertConfig('bert')",
        "BertConfig.from_dict({}, layers=3)", "BertConfig.from_dict()",
        "BertConfig.from_pretrained()", "BertConfig().n_layers", "BertConfig().hidden",
        "setattr(BertConfig(), 'n_heads', 3)", "BertConfig().save()", "BertConfig.from_pretraned(p)",
        "BertConfig().save_pretrained()", "BertConfig(hidden_act='gelo')",
        "BertConfig(hidden_act='prelu')", "BertConfig(dtype='int4')",
    ],
    "a method of torch's": [
        *(f"m.{name}()" for name in (
            "eval", "train", "parameters", "named_parameters", "cuda", "cpu", "half", "float",
            "double", "compile", "fit", "zero_grad", "generate", "modules", "children", "predict",
            "get_input_embeddings", "save", "backward", "load_state_dict",
        )),
        "m.to('cpu')", "m.to('cuda')", "m.requires_grad_(False)", "m.device", "m.stat_dict()",
        "m.confg", "m.weights", "BertModel.from_pretraned(p)", "BertModel.load(p)",
    ],
    "making a model": [
        "BertModel()", "BertModel(p)", "BertModel('bert-base-uncased')", "BertModel(BertConfig)",
        "BertModel(hidden_size=3)", "BertModel({'hidden_size': 3})", "BertForMaskedLM()",
        "AutoModel()", "AutoModel(p)", "AutoModel.from_pretrained()", "AutoModel.from_cofig(1)",
        "AutoModel.from_config({})", "AutoTokenizer()", "AutoConfig.from_config(1)",
        "BertModel.from_pretrained()", "BertModel.from_pretrained(None)",
        "BertModel.from_pretrained(pretrained_model_name=p)", "BertModel.from_pretrained('./nowhre')",
        "BertModel.from_pretrained('my_modle', local_files_only=True)",
        "BertModel.from_pretrained(p / 'config.json')",
    ],
    "a keyword of from_pretrained": [
        *(f"BertModel.from_pretrained(p, {word})" for word in (
            "device_map='cuda'", "device_map={'': 0}", "attn_implementation='fast'",
            "load_in_8bit=True", "output_loading_info=True", "subfolder='a'", "from_tf=True",
            "use_safetensors=False", "config=BertConfig()", "state_dict={}, variant='fp16'",
            "add_pooling_layer=False", "num_layers=3", "dtyp='float32'", "dtype='float16'",
            "dtype='int8'", "dtype=None", "use_auth_token='x'", "quantization_config=1",
        )),
        "AutoTokenizer.from_pretrained(p, use_fast='yes')", "AutoTokenizer.from_pretrained(p, lower=1)",
        "AutoTokenizer.from_pretrained(p, tokenizer_type='gpt2')",
        "AutoConfig.from_pretrained(p, return_unused_kwargs=True)",
    ],
    "a call of a model": [
        "m()", "m('a text')", "m(['a text'])", "m([1, 2])", "m(t('a'))", "m(input_idz=[[1]])",
        "m([[1]], labels=[1])", "m([[1]], mask=[[1]])", "m([[1]], attention_mask=[[2]])",
        "m([[1, 2], [1]])", "m([[-1]])", "m([[1.5]])", "m([[1]], use_cache=True)", "m(None)",
        "m([[1]]).logits.shape, m([[1]])['nothing']", "a, b = m([[1]])",
        "m([[1]])[7]", "m([[1]]).last_hidden_states",
    ],
    "a tokenizer": [
        "t()", "t(None)", "t(3)", "t(['a', 3])", "t('a', max_len=3)", "t('a', paddin=True)",
        "t('a', return_tensors='pt')", "t('a', padding='yes')", "t('a', truncation='no')",
        "t.tokenise('a')", "t.encode_text('a')", "t.vocabulary", "BertTokenizer()",
        "BertTokenizer({}, lower=True)", "BertTokenizer.from_pretrained()", "t('a').input_id",
    ],
    "a task": [
        "tasks.classify()", "tasks.classify('a')", "tasks.tag('a')", "tasks.answer('a', 'b')",
        "tasks.fill_mask('a')", "tasks.fill_mask(3)", "tasks.fill_mask('[MASK]', topk=3)",
        "tasks.fill_mask('[MASK]', model=m)", "tasks.embed('a', model=(m,))",
        "tasks.embed('a', model=(m, 'bert'))", "tasks.embed('a', poling='cls')", "tasks.embed(3)",
        "tasks.embed('a', pooling='sum')", "tasks.next_sentence('a')", "tasks.tag('a', model=(m, t))",
        "tasks.answer(question='a')", "tasks.classify('a', 'b', None, 4)",
    ],
    "a verification": [
        "verify()", "verify(m)", "verify(m, 'nothing')", "verify(m, {})", "verify(m, None)",
        "verify(3, 'nothing')", "verify(m, reference='bert-base-uncased-cmu')",
        "verify(m, 'nothing', tol=3)", "record_model(m)", "record_checkpoint(p)",
        "record_checkpoint(p, {'input_ids': [[1]]}, source='tf')", "compare_recordings()",
        "swap(gelo=1).__enter__()", "swap(gelu=3)", "swap(1)", "Reference.load()",
        "Reference.from_arrays()", "grade()", "grade(gelo=1)", "minibert.BertModle",
        "minibert.BertForMasked", "set_num_threads('a')", "verify(m, r, atol='a')", "verify(r, m)",
        "verify(m, r, 1e-5, rtol='a')", "verify(m, [r])", "compare_recordings(r)",
        "compare_recordings(r, 3)", "compare_recordings('a', 'b')", "compare_recordings(r, r, p)",
        "compare_recordings(r, r, (m, t))", "compare_recordings(r, r, m, atol='a')",
        "record_model(m, [[1]])", "record_model(m, 'a text')", "record_model(m, None)",
        "record_checkpoint(p, 'a text')", "record_checkpoint(p, None)", "Diagnosis()",
        "verify(m, r).okay", "verify(m, r).to_json()", "verify(m, r).to_dict(3)",
        "verify(m, r).rows[0].stat",
    ],
    "a reference": [
        "Reference()", "Reference(r)", "Reference({}, {}, {}, {})", "Reference(None, None)",
        "Reference([[1]], [[1]])", "Reference(stages={}, input={})", "Reference.from_arrays([1], [2])",
        "Reference({'input_ids': [[1]]}, {'embeddings': [[1]]})", "Reference.load(None)",
        "Reference.from_arrays({3: [[[1.0]]]}, {'input_ids': [[1]]})", "Reference.load(3)",
        "Reference.from_arrays({'embeddings': [[[1.0]]]}, [[1]])", "Reference.load(r)",
        "Reference.from_arrays({'embeddings': [[[1.0]]]}, {'input_ids': [[1]]}, 'torch')",
        "Reference.from_arrays({'last_hidden_state': q}, {'input_ids': q}, num_hidden_layers='a')",
        "r.save()", "r.save(3)", "r.stage", "r.to_dict()", "Reference.form_arrays({}, {})",
    ],
    "grading": [
        "grade(functions.gelu)", "grade('gelu', f)", "grade(gelu=f, points='a')", "grade(gelu=3)",
        "grade(gelu=f, time_limit='a')", "grade(gelu=f, time_limit=None)", "grade(gelu=f, model=p)",
        "grade(gelu=f, model=(m, t))", "grade(gelu=f, reference=3)", "grade(gelu=f, timelimit=3)",
        "grade(gelu=f).passed", "grade(gelu=f).score", "Grade()", "grade(gelu=f, softmax=f)",
        "set_num_threads()", "set_num_threads(n=1)", "get_num_threads(1)", "swap().nothing",
    ],
    "a function called with what does not fit": [
        "functions.softmax(x, axis=-1)", "functions.softmax()", "functions.softmax([1.0, 2.0])",
        "functions.softmax(Torch())", "functions.softmax(3.0)", "functions.softmax(x, x)",
        "functions.softmax(np.array(['a']))", "functions.softmax(np.ones(0))", "functions.gelu()",
        "functions.gelu(x, approximate='tanh')", "functions.gelu(np.ones(3, complex))",
        "functions.relu('a')", "functions.sigmoid(None)", "functions.layer_norm(x, x[0], x[0])",
        "functions.layer_norm(x, b, b, 1e-12)", "functions.layer_norm(x, b, b, epsilon=1e-12)",
        "functions.layer_norm(x, x[0], x[0], 'a')", "functions.layer_norm(x, None, None, 1e-12)",
        "functions.linear(x, w)", "functions.linear(x, w.T, b)", "functions.linear(x, w, x[0])",
        "functions.linear(x, q, b)", "functions.linear(x, weights=w, bias=b)",
        "functions.split_heads(x, 3)", "functions.split_heads(x, 0)", "functions.split_heads(q, 2)",
        "functions.split_heads(x, 2.0)", "functions.merge_heads(x)", "functions.mean(x, axis=0)",
        "functions.attention_scores(x, x)", "functions.attention_scores(q, q[:, :, :2])",
        "functions.attention_context(q, x)", "functions.attention(q, q)", "functions.erf([1.0])",
        "functions.attention(x, x, x)", "functions.attention(q, q, q, mask=x)", "functions.mean('a')",
        "functions.attention(q, q, q, allowed=x)", "functions.attention(q, q, q[:, :2])",
        "functions.embeddings([[1]], [[0]], [[0]])",
        *(f"functions.embeddings({ids}, i, i, w, w, w, w[0], w[0], 1e-12)" for ids in (
            "x[:, 0]", "i * 9", "i[:2]", "'a'", "None",
        )),
        *(f"functions.feed_forward(x, w, b, w.T, x[0]{act})" for act in (
            "", ", None", ", 'gelo'", ", functions.gelu", ", ['gelu']",
        )),
        "functions.feed_forward(x, w, b, w, b, 'gelu')", "functions.pooler(x, x, x)",
    ],
    "a name in a module": [
        "functions.gleu", "functions.LayerNorm", "functions.layernorm", "tasks.clasify",
        "tasks.Embed", "tasks.summarize", "minibert.layers.LayerNrom", "minibert.verification.verfy",
        "minibert.tokenizers.BertTokeniser", "minibert.models.BertModle", "minibert.function",
        "minibert.modles", "minibert.grading.grad", "minibert.data.EMBEDED", "minibert.nothing",
    ],
    "a type of an argument": [
        "BertModel(BertConfig(), 'a')", "AutoModel.from_config(BertConfig(), seed=1.5)",
        "BertModel(BertConfig(), seed=-1)", "m.save_pretrained(3)", "m.save_pretrained(None)",
        "m.state_dict(1)", "m.num_parameters(only_trainable=True)", "m.array(3)",
        "m([[1]], trace=3)", "m([[1]], trace=[])", "m(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "m([[1]])[1.5]", "m([[1]])[None]", "tasks.fill_mask('[MASK]', targets=3)",
        "t('a').word_ids('a')", "t('a').char_to_token()", "t('a').token_to_chars('a')",
        "t('a')['ids']", "t('a')[5]", "t.encode()", "t.decode([1], skip_specials=True)",
        "t.convert_tokens_to_ids(3)", "t.convert_tokens_to_string([3])", "t.pad()",
        "t.pad({'input_ids': 3})", "t.pad([{'input_ids': 3}])", "t.save_pretrained(3)",
        "BertTokenizer(p)", "BertTokenizer('vocab.txt')", "BertTokenizer({3: 4})",
        "BertConfig.from_dict(3)", "BertConfig.from_dict('a')", "BertConfig.from_dict({3: 4})",
        "BertConfig().save_pretrained(None)", "BertConfig().to_dict(1)",
        "BertModel.from_pretrained('a/b', cache_dir=3)", "AutoModel.from_pretrained(p, token=3)",
    ],
}  # fmt: skip
ALL = [(kind, code) for kind, codes in MISTAKES.items() for code in codes]


@pytest.fixture(scope="module")
def known():
    folder = EMBEDDED_CHECKPOINT
    names = {"p": folder, "m": BertModel.from_pretrained(folder)}
    names["r"] = Reference.load(folder / "reference.safetensors")
    return names | {"t": BertTokenizer.from_pretrained(folder)}


@cache
def raised_on(path):
    """Return the lines of the raise statements of a file."""
    nodes = ast.walk(ast.parse(Path(path).read_text()))
    return {n for r in nodes if isinstance(r, ast.Raise) for n in range(r.lineno, r.end_lineno + 1)}


@pytest.mark.parametrize(("kind", "code"), ALL)
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_no_mistake_ends_in_a_bare_error(kind, code, known, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = dict(known)
    exec(START, names)
    with pytest.raises((TypeError, ValueError, OSError, AttributeError, LookupError)) as caught:
        exec(code, names)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert PACKAGE in Path(last.filename).parents, caught.value
    assert last.lineno in raised_on(last.filename), caught.value  # no error of Python's own
    words = str(caught.value)
    assert len(words.split()) >= 5
    assert len(words) <= 1000
    assert words.isprintable()


def test_there_are_many_of_each_kind():
    assert len(ALL) >= 150
    assert min(map(len, MISTAKES.values())) >= 12


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("m.eval()", "inference"),
        ("m.stat_dict()", "did you mean 'state_dict'"),
        ("m(input_idz=[[1]])", "did you mean 'input_ids'"),
        ("t('a', paddin=True)", "did you mean 'padding'"),
        ("tasks.fill_mask('[MASK]', topk=3)", "did you mean 'top_k'"),
        ("BertModel.from_pretraned(p)", "did you mean 'from_pretrained'"),
        ("BertModel()", "BertModel.from_pretrained"),
        ("tasks.answer('a', 'b')", "no such head"),
        (
            "tasks.tag('a', model=(BertForTokenClassification.from_pretrained(p), t))",
            "no such head",
        ),
        ("verify(m, {})", "Reference.from_arrays"),
        ("verify(m)", "needs reference"),
        ("functions.softmax(x, axis=-1)", "no argument 'axis'. softmax takes x"),
        ("functions.layer_norm(x, b, b, 1e-12)", r"\(5,\); needed: \(C,\), and C is 4 in x"),
        ("functions.feed_forward(x, w, b, w.T, b, 'gelo')", "did you mean 'gelu'"),
        ("functions.embeddings(x, i, i, w, w, w, b, b, 1)", "array of float32; .* of whole num"),
        ("tasks.clasify", "did you mean 'classify'"),
        ("minibert.function", "did you mean 'functions'"),
        ("Reference()", "Reference needs inputs and stages"),
        ("grade(functions.gelu)", "1 argument by place, more than it takes so. grade takes model"),
        ("t.decode([1], skip_specials=True)", "BertTokenizer.decode .* mean 'skip_special_tokens'"),
        ("BertModel.from_pretrained(p, device_map='cuda')", "CPU"),
        ("BertModel.from_pretrained(str(p)[:-1] + 'i')", "did you mean 'toy'"),
    ],
)
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_the_way_out_is_named(code, says, known):
    names = dict(known)
    exec(START, names)
    with pytest.raises((TypeError, ValueError, OSError, AttributeError), match=says):
        exec(code, names)


HARMLESS = (
    *("attn_implementation='sdpa'", "device_map='auto'", "device_map='cpu'", "trust_remote_code=1"),
    *("low_cpu_mem_usage=True", "use_safetensors=True", "load_in_8bit=False", "torch_dtype='auto'"),
    *("weights_only=True", "resume_download=None", "output_loading_info=False", "dtype='fp32'"),
)


@pytest.mark.parametrize("keyword", HARMLESS)
def test_a_keyword_that_changes_nothing_is_accepted(keyword, known):
    names = dict(known)
    exec(START, names)
    for kind in ("BertModel", "AutoModel"):
        exec(f"x = {kind}.from_pretrained(p, {keyword.replace('=1', '=True')})", names)
        assert names["x"].dtype == "float32"
    exec("AutoTokenizer.from_pretrained(p, use_fast=True, trust_remote_code=False)", names)
    exec("BertConfig.from_pretrained(p, trust_remote_code=True)", names)


def test_verify_takes_names(known):
    folder = known["p"]
    assert minibert.verify(folder, folder / "reference.safetensors").ok
    assert minibert.verify(str(folder), str(folder / "reference.safetensors"), dtype="float64").ok
