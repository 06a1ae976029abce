"""A checkpoint as ONNX: python onnx_files.py CHECKPOINT FOLDER writes plain.onnx and fused.onnx.

A process of its own, so that exporting leaves no threads and no memory where times are taken.
The numbers of nodes of both graphs go to nodes.json.
"""

import json
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NEEDED = ("onnx", "onnxruntime", "torch", "transformers")
INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("last_hidden_state", "pooler_output")

#: How many nodes the optimizer must make of a layer, or it is no comparison.
FUSED = {"Attention": 1, "BiasGelu": 1, "SkipLayerNormalization": 2}


def make_onnx_files(checkpoint: Path, folder: Path) -> None:
    """Export and optimize in another process. ImportError if that needs what is not here."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"to make an ONNX file, {', '.join(missing)} is missing")
    command = [sys.executable, __file__, str(checkpoint), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:  # else what it says is about the exporter itself, and of no use here
        raise RuntimeError(f"no ONNX file could be made:\n{run.stderr[-2000:]}")


def export(checkpoint: Path, file: Path) -> Any:
    """Write the plain graph; return the config."""
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(
        checkpoint, attn_implementation="eager", dtype=torch.float32
    )

    class Traced(torch.nn.Module):
        """Takes positional arguments and returns a tuple, as the exporter wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask).to_tuple()

    ids = torch.ones((2, 16), dtype=torch.int64)
    # In what the newer exporter writes (dynamo=True), and in sdpa, the optimizer of onnxruntime
    # finds no attention to fuse.
    torch.onnx.export(
        Traced().eval(),
        (ids, ids),
        str(file),
        dynamo=False,
        opset_version=17,
        input_names=INPUTS,
        output_names=OUTPUTS,
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*INPUTS, OUTPUTS[0])},
    )
    return model.config


def fuse(plain: Path, fused: Path, config: Any) -> None:
    """Write the graph with onnxruntime's own operators for attention, GELU and norms."""
    from onnxruntime.transformers.optimizer import optimize_model

    optimized = optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
    )
    optimized.save_model_to_file(str(fused))


def count_nodes(file: Path) -> dict[str, int]:
    """Return how many nodes of each operator a graph has, the commonest first."""
    import onnx

    graph = onnx.load(str(file), load_external_data=False).graph
    return dict(Counter(node.op_type for node in graph.node).most_common())


def check_fused(nodes: dict[str, int], layers: int) -> None:
    """Leave the program unless every layer was fused."""
    for operator, number in FUSED.items():
        found = nodes.get(operator, 0)
        if found != number * layers:
            sys.exit(f"{layers} layers became {found} nodes {operator}: the graph is not fused")


def main() -> None:
    """Write the three files."""
    checkpoint, folder = map(Path, sys.argv[1:])
    plain, fused = folder / "plain.onnx", folder / "fused.onnx"
    config = export(checkpoint, plain)
    fuse(plain, fused, config)
    nodes = {file.name: count_nodes(file) for file in (plain, fused)}
    check_fused(nodes[fused.name], config.num_hidden_layers)
    (folder / "nodes.json").write_text(json.dumps(nodes))


if __name__ == "__main__":
    main()
