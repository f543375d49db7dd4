"""Independent S/MIME programs behind one shape: a message in, a message or an entity out."""
