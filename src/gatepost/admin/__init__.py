"""Every administrator's operation, once: a frozen request, a function, a frozen result."""
