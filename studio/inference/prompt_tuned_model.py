"""A model with learned virtual tokens (prompt or prefix tuning), called as a plain one is.

PEFT puts the virtual tokens before whatever it is given, token after token as well, and gives logits of them too. Here
they come before the first tokens alone, and logits are of the text.
"""

from typing import Any


class PromptTunedModel:
    """Stands before a `PeftModel`; what it does not do itself is that model's."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.virtual = int(model.active_peft_config.num_virtual_tokens)
        self.in_every_layer = str(model.active_peft_config.peft_type.value) == "PREFIX_TUNING"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def __call__(self, input_ids: Any, past_key_values: Any = None, attention_mask: Any = None, **given: Any) -> Any:
        """Logits of the tokens given, after the virtual ones."""
        import torch

        base = self.model.get_base_model()
        if past_key_values is not None:  # the virtual tokens stand in the cache already
            return base(input_ids=input_ids, past_key_values=past_key_values, attention_mask=attention_mask, **given)
        rows = len(input_ids)
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask.new_ones(rows, self.virtual), attention_mask], dim=1)
        before = self.model.get_prompt(rows)
        if self.in_every_layer:
            return base(input_ids=input_ids, past_key_values=before, attention_mask=attention_mask, **given)
        words = self.model.word_embeddings(input_ids)
        keep = given.get("logits_to_keep")
        if isinstance(keep, torch.Tensor):
            given["logits_to_keep"] = keep + self.virtual
        found = base(
            inputs_embeds=torch.cat([before.to(words.dtype), words], dim=1), attention_mask=attention_mask, **given
        )
        if not keep and not isinstance(keep, torch.Tensor):
            found.logits = found.logits[:, self.virtual :]
        return found
