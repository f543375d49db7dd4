"""The keys of years: what other gateways and mail servers export, taken in at once."""
