"""The model host: a child process that keeps models loaded and answers requests in JSON lines (schema/host.py).

`python -m studio.host --home DIR`. One thread reads requests. Requests that need only a tokenizer run in their own
threads. The main thread runs requests that need a model, one at a time, and answers chats between the batches of longer
work. The host ends when its stdin ends. It imports torch with the first request that needs it. If it runs out of
memory, only this process dies.
"""
