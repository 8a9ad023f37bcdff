"""Plans of runs from a dataset, a model and a machine; previews of what the model gets."""
