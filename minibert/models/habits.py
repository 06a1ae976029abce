"""What users of torch and transformers write from habit, and what it is here."""

_NO_MODE = "a call is inference; dropout is in minibert.train alone, so leave this out"
_NO_DEVICE = "NumPy computes on the CPU alone, so leave this out"
_NO_GRADIENT = "minibert.gradients(model, inputs, labels) returns the loss and the gradients"
_BY_NAME = "the arrays are in model.state_dict(), by name"
_DTYPE = "load the model in another type: from_pretrained(..., dtype='float64')"
_NO_TRAINING = "train with transformers, save, and open the folder with from_pretrained"
_NO_CHANGE = "load the checkpoint with another config, or change it with transformers"

#: A method of a model of torch or transformers -> what to do in place of it.
METHODS: dict[str, str] = {
    **dict.fromkeys(("eval", "train", "training"), _NO_MODE),
    **dict.fromkeys(("to", "cuda", "cpu", "device", "device_map", "tensor_parallel"), _NO_DEVICE),
    **dict.fromkeys(("requires_grad_", "zero_grad", "no_grad", "grad", "backward"), _NO_GRADIENT),
    **dict.fromkeys(("gradient_checkpointing_enable", "enable_input_require_grads"), _NO_GRADIENT),
    **dict.fromkeys(("parameters", "named_parameters", "buffers", "named_buffers"), _BY_NAME),
    **dict.fromkeys(("half", "float", "double", "bfloat16", "type"), _DTYPE),
    **dict.fromkeys(("fit", "compile", "push_to_hub", "apply"), _NO_TRAINING),
    **dict.fromkeys(("resize_token_embeddings", "prune_heads", "load_state_dict"), _NO_CHANGE),
    **dict.fromkeys(("modules", "named_modules", "children"), "print(model), or see model.layers"),
    "predict": "call the model itself, model(input_ids), or use minibert.tasks",
    "generate": "GPT2LMHeadModel and BartForConditionalGeneration do; BERT has tasks.fill_mask",
    "encode": "minibert.tasks.embed makes vectors of texts",
    "register_forward_hook": "pass a dict, model(..., trace=seen): it receives every stage",
    "get_input_embeddings": "the matrix is model.array('embeddings.word')",
    "save": "model.save_pretrained(folder) writes it",
    "load": "call from_pretrained(folder)",
    "numpy": "what a model returns is NumPy's already",
}
#: What other libraries, papers and people call the fields of a config.
FIELDS: dict[str, str] = {
    **dict.fromkeys(
        ("num_layers", "n_layers", "n_layer", "layers", "num_layer", "depth", "hidden_layers"),
        "num_hidden_layers",
    ),
    **dict.fromkeys(
        ("num_heads", "n_heads", "n_head", "heads", "attention_heads", "num_attention_head"),
        "num_attention_heads",
    ),
    **dict.fromkeys(
        (
            "dim",
            "d_model",
            "n_embd",
            "embedding_size",
            "embed_dim",
            "hidden_dim",
            "hidden",
            "width",
        ),
        "hidden_size",
    ),
    **dict.fromkeys(
        ("ffn_dim", "d_ff", "ff_dim", "n_inner", "mlp_dim", "ffn_size", "feed_forward_size"),
        "intermediate_size",
    ),
    **dict.fromkeys(
        ("max_len", "max_length", "max_seq_len", "max_seq_length", "seq_len", "n_positions"),
        "max_position_embeddings",
    ),
    **dict.fromkeys(("max_positions", "n_ctx", "model_max_length"), "max_position_embeddings"),
    **dict.fromkeys(("n_vocab", "vocabulary_size", "vocab", "num_tokens"), "vocab_size"),
    **dict.fromkeys(("num_classes", "n_labels", "n_classes", "labels"), "num_labels"),
    **dict.fromkeys(("dropout", "hidden_dropout", "dropout_prob", "p"), "hidden_dropout_prob"),
    **dict.fromkeys(
        ("attention_dropout", "attn_dropout", "attn_pdrop"), "attention_probs_dropout_prob"
    ),
    **dict.fromkeys(("activation", "act", "activation_function", "act_fn"), "hidden_act"),
    **dict.fromkeys(("eps", "norm_eps", "layer_norm_epsilon", "ln_eps"), "layer_norm_eps"),
    **dict.fromkeys(("type_vocab", "num_token_types", "num_segments"), "type_vocab_size"),
    **dict.fromkeys(("init_std", "initializer_std", "std"), "initializer_range"),
    **dict.fromkeys(("pad_id", "padding_idx", "pad_token"), "pad_token_id"),
    "torch_dtype": "dtype",
}
#: What configs hold besides, of older versions, of training or of heads that are not here: it
#: changes no number.
HARMLESS = {
    *("transformers_version", "gradient_checkpointing", "output_past", "directionality"),
    *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_type"),
    *("pooler_size_per_head", "torchscript", "finetuning_task", "task_specific_params"),
    *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"),
    *("summary_first_dropout", "n_ctx", "predict_special_tokens"),
    *("use_bfloat16", "use_return_dict", "tokenizer_class", "attn_implementation"),
}
