"""maxlake: an open MaxCompute Storage API service, and the Python client for it."""

__version__ = "0.1.0"
