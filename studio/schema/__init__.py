"""The data models of the studio, as pydantic models: no I/O, no torch, no gradio, no SQL."""
