"""The wire: HTTP in, typed messages to the service, and back."""
