"""The page: the only place that imports gradio. Reads what a person did, makes one call to api.py, shows the result."""
