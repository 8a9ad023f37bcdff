"""Conversion of models of other libraries to folders of safetensors, and what is checked before and after."""
