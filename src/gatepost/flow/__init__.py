"""The stages a message passes, as pure functions that ask for the facts they lack."""
