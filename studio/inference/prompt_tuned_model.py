"""A model with learned virtual tokens (prompt or prefix tuning), with the interface of a standard model.

PEFT adds the virtual tokens before every input, also token by token, and returns their logits too. This class adds them
before the first tokens only, and returns the logits of the text.
"""

from typing import Any


class PromptTunedModel:
    """A wrapper of a `PeftModel`. Other attributes are those of the model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.num_virtual_tokens = int(model.active_peft_config.num_virtual_tokens)
        self.in_every_layer = str(model.active_peft_config.peft_type.value) == "PREFIX_TUNING"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def __call__(self, input_ids: Any, past_key_values: Any = None, attention_mask: Any = None, **kwargs: Any) -> Any:
        """Return the output for the given tokens, without the logits of virtual tokens."""
        import torch

        base = self.model.get_base_model()
        if past_key_values is not None:  # the cache already contains the virtual tokens
            return base(input_ids=input_ids, past_key_values=past_key_values, attention_mask=attention_mask, **kwargs)
        rows = len(input_ids)
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask.new_ones(rows, self.num_virtual_tokens), attention_mask], dim=1)
        prompt = self.model.get_prompt(rows)
        if self.in_every_layer:
            return base(input_ids=input_ids, past_key_values=prompt, attention_mask=attention_mask, **kwargs)
        embedded = self.model.word_embeddings(input_ids)
        keep = kwargs.get("logits_to_keep")
        if isinstance(keep, torch.Tensor):
            kwargs["logits_to_keep"] = keep + self.num_virtual_tokens
        output = base(
            inputs_embeds=torch.cat([prompt.to(embedded.dtype), embedded], dim=1),
            attention_mask=attention_mask,
            **kwargs,
        )
        if not keep and not isinstance(keep, torch.Tensor):
            output.logits = output.logits[:, self.num_virtual_tokens :]
        return output
