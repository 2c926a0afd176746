"""The service at the line: what was inspected, what people said of it, and what the model learns from that."""
