"""The nouns of mail: addresses, envelopes, messages, replies (RFC 5321, 5322, 5598)."""
