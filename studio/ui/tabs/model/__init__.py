"""The Model tab: task and base model; onboarding for a first visit."""
