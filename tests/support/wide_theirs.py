"""Models of transformers of which every weight is wide."""

from learning import sizes

CONFIGS = {"Bert": "BertConfig", "GPT2": "GPT2Config", "Bart": "BartConfig"}


def drawn(folder, kind, **options):
    """Save a model of transformers of which every weight is wide."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, CONFIGS[kind[:4]])(**sizes(kind, **options))
    model = getattr(transformers, kind)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_scale = ("norm" in name.lower() or "ln_" in name) and "weight" in name
            weight.copy_(is_scale + 0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model
