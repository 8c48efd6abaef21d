"""One module per outside thing: processes, files, the database, the agents."""
