"""Questions to the outside world: DNS, published policies."""
