"""Names looked up: from a document to a program."""
