"""What answers requests: the guard, the routes, static files, uploads and downloads."""
