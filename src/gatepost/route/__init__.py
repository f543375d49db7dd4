"""How mail finds its way and how safe that way must be; rules only, no look-ups."""
