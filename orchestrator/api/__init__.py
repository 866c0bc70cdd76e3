"""The HTTP API over the control plane, and the server process that carries it."""
