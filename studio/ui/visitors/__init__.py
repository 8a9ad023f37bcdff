"""Who sends a request: sign-in, roles, workspaces, and the state of a browser tab."""
