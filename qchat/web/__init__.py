"""HTTP in, HTTP out: routes, handlers, streams. No paths, processes or SQL here."""
