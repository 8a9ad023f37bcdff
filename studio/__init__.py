"""Fine-tune Studio: fine-tune a language model on your own rows, in the browser, without code."""

__version__ = "0.1.0"
