from minibert.trace import STAGES, stage_axes


def test_stages_are_in_network_order_and_named_by_layer():
    names = list(stage_axes(11))
    assert names[:3] == ["embeddings.sum", "embeddings", "layer.0.attention.query"]
    assert names[-3:] == ["layer.10.feed_forward", "layer.10", "pooler"]
    assert len(names) == len(set(names)) == 2 + 11 * (len(STAGES) - 3) + 1


def test_the_names_are_public_and_stay():
    assert [name.removeprefix("layer.0") for name in stage_axes(1)] == [
        "embeddings.sum",
        "embeddings",
        ".attention.query",
        ".attention.key",
        ".attention.value",
        ".attention.scores",
        ".attention.probabilities",
        ".attention.context",
        ".attention.output",
        ".attention",
        ".feed_forward.intermediate",
        ".feed_forward.activation",
        ".feed_forward",
        "",
        "pooler",
    ]
