"""The page: the only package that imports gradio. It reads actions, calls the Python API, and shows results."""
