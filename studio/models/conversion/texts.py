"""Texts for which a converted model is compared with the original, and the model card of a conversion."""

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "It was a bright cold day in April, and the clocks were striking thirteen.",
    "Please write a short reply: the order arrived, but a part is missing!",
    "Hello world",
)
"""Texts without numbers and line breaks, which KerasHub splits in another way than GPT-2 does."""
CARD = """---
license: {licence}
library_name: transformers
---

# {title}

The weights of a {library} model, converted to safetensors by Fine-tune Studio.
"""
