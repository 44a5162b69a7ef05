"""The atlas put to use: surveys of the browsers here, and checks of models against it."""
