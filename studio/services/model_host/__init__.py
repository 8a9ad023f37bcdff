"""The client of the model host: the child process that loads models for chat, prediction and evaluation."""
