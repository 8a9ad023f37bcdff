"""The API server: a gateway with OpenAI's endpoints, and the engines behind it. Each engine is a process."""
