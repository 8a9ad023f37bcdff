"""Model loading, generation and classification; base and fine-tuned model side by side. No store, page or trainer."""
