"""The client of the model host: the child process that keeps models for chat, prediction and evaluation."""
