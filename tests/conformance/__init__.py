"""The message corpus of other projects, read by our product code and judged by their labels."""
