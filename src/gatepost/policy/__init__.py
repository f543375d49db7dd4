"""Policy as data: which mail is signed and encrypted, for whom and how, and where that was said."""
