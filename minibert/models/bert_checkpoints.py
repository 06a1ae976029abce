"""What checkpoints of BERT hold besides the tensors and fields that are used."""

#: Beginnings of names that checkpoints of BERT have besides, and what they are.
KNOWN_UNUSED = {
    "embeddings.position_ids": "a buffer that counts 0, 1, 2, ...",
    "embeddings.token_type_ids": "a buffer of zeros",
    "embeddings.": "belongs to the embeddings",
    "encoder.": "belongs to the layers",
    "pooler.": "belongs to the pooler, which this model has none of",
    "cls.predictions.": "belongs to a masked-language-model head",
    "cls.seq_relationship.": "belongs to a next-sentence head",
    "classifier.": "belongs to a classification head",
    "qa_outputs.": "belongs to a question-answering head",
    **dict.fromkeys(
        ("optimizer.", "global_step", "loss.", "loss_fct.", "loss_fn.", "criterion."),
        "belongs to the training",
    ),
}
#: The classes of transformers that compute what is computed here.
ARCHITECTURES = (
    r"(TF|Flax)?Bert(Model|LMHeadModel|For(PreTraining|MaskedLM|MultipleChoice|QuestionAnswering"
    r"|NextSentencePrediction|(Sequence|Token)Classification))"
)
