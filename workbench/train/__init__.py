"""Training the small models: the data stream, one readable loop, the built-in model's recipe, its card."""
