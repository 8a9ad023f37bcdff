"""Labelling, whole: service.py has what a person does, the others what that stands on."""
