"""The use cases of the studio, one class each. Worker and model host are started as processes, by module name."""
