"""The model host: a child process that keeps models and answers in JSON lines (schema/host.py has every line).

`python -m studio.host --home DIR`. A thread reads requests; tokenizing has threads of its own; what needs a model is
done one at a time by the main thread, and chat goes between the batches of longer work. The host ends with its stdin.
It imports torch when first asked for something, and it alone dies when memory runs out.
"""
