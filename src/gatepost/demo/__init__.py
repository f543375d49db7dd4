"""Two companies, their gateways and a tap on the wire, on this machine."""
