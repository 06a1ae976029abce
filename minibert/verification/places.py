"""Where the modules of transformers' BERT show each stage."""

# fmt: off
#: As what a module shows a stage: what goes in, what comes out, the second thing that comes out.
IN, OUT, SECOND = "in", "out", "second"
#: Stage, module of a BertModel, as what.
ENCODER_PLACES = (
    ("embeddings.sum", "embeddings.LayerNorm", IN),
    ("embeddings", "embeddings", OUT),
    ("layer.{i}.attention.query", "encoder.layer.{i}.attention.self.query", OUT),
    ("layer.{i}.attention.key", "encoder.layer.{i}.attention.self.key", OUT),
    ("layer.{i}.attention.value", "encoder.layer.{i}.attention.self.value", OUT),
    ("layer.{i}.attention.probabilities", "encoder.layer.{i}.attention.self", SECOND),
    ("layer.{i}.attention.context", "encoder.layer.{i}.attention.output.dense", IN),
    ("layer.{i}.attention.output", "encoder.layer.{i}.attention.output.dense", OUT),
    ("layer.{i}.attention", "encoder.layer.{i}.attention.output", OUT),
    ("layer.{i}.feed_forward.intermediate", "encoder.layer.{i}.intermediate.dense", OUT),
    ("layer.{i}.feed_forward.activation", "encoder.layer.{i}.intermediate", OUT),
    ("layer.{i}.feed_forward", "encoder.layer.{i}.output.dense", OUT),
    ("layer.{i}", "encoder.layer.{i}", OUT),
    ("pooler", "pooler", OUT),
)
#: The same for the modules that a head adds.
HEAD_PLACES = (
    ("predictions.intermediate", "cls.predictions.transform.dense", OUT),
    ("predictions.activation", "cls.predictions.transform.LayerNorm", IN),
    ("predictions", "cls.predictions.transform", OUT),
    ("logits", "cls.predictions.decoder", OUT),
    ("seq_relationship", "cls.seq_relationship", OUT),  # called logits where it is the only head
    ("logits", "classifier", OUT),
    ("logits", "qa_outputs", OUT),
)
# fmt: on


def places(num_hidden_layers: int) -> list[tuple[str, str, str]]:
    """Return the stages of an encoder with so many layers: name, module, as what."""
    layers = [place for place in ENCODER_PLACES if "{i}" in place[0]]
    return [
        *(place for place in ENCODER_PLACES if place[0].startswith("embeddings")),
        *(
            (stage.format(i=i), module.format(i=i), part)
            for i in range(num_hidden_layers)
            for stage, module, part in layers
        ),
        ENCODER_PLACES[-1],
    ]
