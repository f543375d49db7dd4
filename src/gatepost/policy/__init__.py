"""Policy as data: rules in, a treatment for every recipient out."""
